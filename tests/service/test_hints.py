"""What a person wants is asked at once, by a message, and once; a lost one costs 30 s."""

from __future__ import annotations

from typing import Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.service import HINT_S, Service
from yse_ingest.targets import Target

NP = Target("2019np", cadence_s=7200.0)


@pytest.fixture
def service(house: Any) -> Service:
    made: Service = house.service()
    return made


def in_s(service: Service, name: str = "2019np") -> float:
    """Return in what time a target is due [s]."""
    return ((service.state.targets.due_ms(name) or 0) - service.state.now_ms()) / 1000


def test_what_a_message_asked_about_is_not_asked_again_by_dispatch(
    house: Any, service: Service
) -> None:
    house.alerts("ZTF19aacgslb", 3)
    service.enqueue_many([NP], hinted=True)
    assert service.dispatch() == []

    service.refresh(["2019np"])

    # At its next time, as if it had been claimed: a quarter of the cadence ahead, or more.
    assert 1800 - 1 < in_s(service) < 1.25 * 7200
    assert service.dispatch() == []
    asked = len(house.mars.log)
    service.enqueue_many([Target("2019np")], bare=["2019np"], hinted=True)
    assert service.dispatch() == []
    service.refresh(["2019np"])
    assert in_s(service) > 1800 - 1
    assert len(house.mars.log) > asked


def test_a_lost_message_costs_half_a_minute(service: Service) -> None:
    service.enqueue_many([NP], hinted=True)
    assert 0 < in_s(service) <= HINT_S
    later_ms = service.state.now_ms() + round(HINT_S * 1000)
    claimed = service.state.targets.claim_due(later_ms, 9, cadence_s=1800.0)
    assert [each.name for each in claimed] == ["2019np"]
    due_ms = service.state.targets.due_ms("2019np")

    service.refresh(["2019np"])  # the claim's own message moves nothing

    assert service.state.targets.due_ms("2019np") == due_ms
    assert service.state.hinted.among(["2019np"]) == {}


def test_without_a_broker_dispatch_asks_at_once(service: Service) -> None:
    service.enqueue_many([NP], hinted=True)
    service.unhinted(["2019np"])
    (batch,) = service.dispatch()
    assert batch.names == ("2019np",)


def test_what_is_wanted_meanwhile_is_not_lost(service: Service) -> None:
    """A second hint, or another reason to ask, while the first message is at work."""
    targets, hinted = service.state.targets, service.state.hinted
    service.enqueue_many([NP], hinted=True)
    first = hinted.among(["2019np"])

    targets.set_due("2019np", 5)
    hinted.served(first, cadence_s=1800.0)
    assert targets.due_ms("2019np") == 5

    service.enqueue_many([NP], hinted=True)
    second = hinted.among(["2019np"])
    hinted.served({"2019np": second["2019np"] - 1}, cadence_s=1800.0)
    assert targets.due_ms("2019np") == second["2019np"]
    hinted.served(second, cadence_s=1800.0)
    assert in_s(service) > HINT_S


def test_a_source_without_an_answer_is_asked_again_soon(house: Any, service: Service) -> None:
    house.mars.faults.add(Fault("status", status=503))
    service.enqueue_many([NP], hinted=True)
    service.refresh(["2019np"])
    assert in_s(service) <= service.settings.ask_again_s


def test_a_target_that_is_removed_leaves_no_hint(service: Service) -> None:
    service.enqueue_many([NP], hinted=True)
    service.state.targets.remove("2019np")
    assert service.state.hinted.among(["2019np"]) == {}


def test_a_target_that_had_left_its_file_is_asked_once_too(service: Service) -> None:
    """Enqueued, it goes on; its message is as good as any."""
    registry = service.state.targets
    registry.sync_file([NP])
    registry.sync_file([])
    service.enqueue_many([Target("2019np", cadence_s=3600.0)], hinted=True)
    assert registry.why_paused("2019np") is None
    assert service.dispatch() == []


def test_many_have_more_time(service: Service) -> None:
    """New ones are looked up one after the other; nobody asks beside their messages."""
    service.enqueue_many([Target(f"2030t{number}") for number in range(200)], hinted=True)
    assert 120 < in_s(service, "2030t0") <= 130


def test_the_trouble_of_a_source_that_is_asked_no_more_ends(
    house: Any, service: Service
) -> None:
    """MARS fails; a person asks ALeRCE instead, or removes the target: all is well."""
    house.mars.faults.add(Fault("status", status=503))
    for name in ("2019np", "2020gone"):
        service.enqueue(Target(name, ra=157.3415, dec=29.5106667))
    service.refresh(["2019np"])
    service.state.clocks.record("2020gone", "mars", asked_ms=1, status="error", error="away")
    assert service.sweep()["old_troubles"] == 0
    assert service.state.clocks.count_troubled() == 2

    service.enqueue(Target("2019np", source="alerce"))
    service.state.targets.remove("2020gone")
    # A message that was at work meanwhile:
    service.state.clocks.record("2020gone", "mars", asked_ms=1, status="error", error="away")

    assert service.sweep()["old_troubles"] == 2
    assert service.state.clocks.count_troubled() == 0
    assert service.state.clocks.get("2020gone") == {}
