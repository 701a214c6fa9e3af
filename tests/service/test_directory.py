"""Targets of which only a name is known: TNS says where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.directory import KNOWN_S, UNKNOWN_S
from yse_ingest.errors import SourceHeldBackError, UnknownTargetError
from yse_ingest.sandbox.tns import TnsStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.service.conftest import House

NEW = "2025abc"
ZTF = "ZTF25aaaaaaa"
PLACE = (150.1, 2.2)


@pytest.fixture
def tns() -> Iterator[TnsStandIn]:
    with TnsStandIn() as stand_in:
        stand_in.add_object(
            NEW, *PLACE, prefix="SN", internal_names=(ZTF, "ATLAS25xyz"), redshift=0.03
        )
        yield stand_in


@pytest.fixture
def environment(tns: TnsStandIn) -> dict[str, str]:
    return {
        "TNS_URL": tns.api_url,
        "TNS_API_KEY": "sandbox-only",
        "TNS_BOT_ID": "7",
        "TNS_BOT_NAME": "a_bot",
    }


@pytest.mark.parametrize("held", [NEW, ZTF, "a name of our own"])
@pytest.mark.parametrize("name", [f"SN {NEW}", ZTF, "ATLAS25xyz"])
def test_any_of_its_names_is_the_one_transient(
    house: House, tns: TnsStandIn, environment: dict[str, str], name: str, held: str
) -> None:
    """Whatever the target is called, and whatever YSE-PZ calls it: nothing is doubled."""
    house.ysepz.add_transient(held, *PLACE)
    house.mars.add_alert(ZTF, 2460900.5, "g", 18.0, 0.1, *PLACE)
    service = house.service(state=True, **environment)
    service.enqueue(Target(name))

    house.cycle(service, Target(name).name)

    assert len(house.ysepz.rows(held)) == 1
    assert sorted(house.ysepz.transients()) == sorted(["2019np", held])


def test_what_ysepz_knows_is_not_asked(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """Nor is what has a position, or an object id."""
    service = house.service(state=True, **environment)
    service.enqueue(Target("2019np"))
    service.enqueue(Target("2031a", ra=10.0, dec=10.0))
    service.enqueue(Target("2031b", object_id="ZTF31aaaaaaa"))

    house.cycle(service, "2019np", "2031a", "2031b")

    assert not tns.log


def test_a_transient_is_created_where_tns_has_it(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """In one look-up by all workers, with its photometry, and without a redshift."""
    house.mars.add_alert(ZTF, 2460900.5, "g", 18.0, 0.1, *PLACE)
    creation = {"status": "New", "obs_group": "ZTF"}
    service = house.service(state=True, **environment)
    service.enqueue(Target(NEW, creation=creation))

    hints = service.refresh([NEW])
    while hints:
        hints = [
            further
            for hint in hints
            for further in service.upload(hint.name, hint.key, hint.fence, attempt=1).hints
        ]

    row = house.ysepz.transient_row(NEW)
    assert (row["ra"], row["dec"], row["redshift"]) == (*PLACE, None)
    assert len(house.ysepz.rows(NEW)) == 1
    assert [each.path for each in tns.log] == ["/api/get/object"]


def test_push_without_redis_creates_it_too(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """It keeps the answer for itself."""
    house.mars.add_alert(ZTF, 2460900.5, "g", 18.0, 0.1, *PLACE)
    target = Target(NEW, creation={"status": "New", "obs_group": "ZTF"})
    result = house.push(target, **environment)
    assert (result.state, result.created) == ("verified", True)
    assert len(house.ysepz.rows(NEW)) == 1
    assert len(tns.log) == 1


def test_without_a_key_nothing_is_asked(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """And the error is the old one."""
    service = house.service(state=True, **environment | {"TNS_API_KEY": ""})
    with pytest.raises(UnknownTargetError, match="no transient of this name or place"):
        service.locate(Target(NEW))
    assert not tns.log


def test_the_error_says_what_tns_said(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """It has it, or does not know it either."""
    service = house.service(state=True, **environment)
    with pytest.raises(UnknownTargetError, match=r"TNS has it as SN2025abc at 150\.10000"):
        service.locate(Target(NEW))
    with pytest.raises(UnknownTargetError, match="TNS does not know the name"):
        service.locate(Target("2031zzz"))


def test_an_answer_is_kept_for_all_workers(
    house: House, tns: TnsStandIn, environment: dict[str, str]
) -> None:
    """For a week; that there is none, for an hour; and asked anew where that is wanted."""
    clock = [1e9]

    def worker() -> Service:
        env = house.environment | environment
        env["YSE_INGEST_STATE_URL"] = house.redis.url(1)
        return Service(Settings.from_env(env), clock=lambda: clock[0])

    for name, believed_s in ((NEW, KNOWN_S), ("2031zzz", UNKNOWN_S)):
        tns.log.clear()
        first, second = (worker().directory.look_up(name) for _ in range(2))
        assert first == second
        assert len(tns.log) == 1
        clock[0] += believed_s - 1
        worker().directory.look_up(f"SN{name}")
        assert len(tns.log) == 1
        clock[0] += 2
        again = worker().directory.look_up(name)
        assert again is not None
        assert again.asked_s == clock[0]
        worker().directory.look_up(name, max_age_s=0.0)
        clock[0] += 1
        worker().directory.look_up(name, max_age_s=0.0)
        assert len(tns.log) == 3


def test_one_quota_for_all_workers(house: House, environment: dict[str, str]) -> None:
    """What one was told by the headers holds back the others; the target is asked again."""
    with TnsStandIn(limit=1, window_s=60) as small:
        services = [
            house.service(state=True, **environment | {"TNS_URL": small.api_url})
            for _ in range(2)
        ]
        services[0].directory.look_up("2031zzy")
        services[1].enqueue(Target("2031zzz"))
        with pytest.raises(SourceHeldBackError, match="its quota is used up"):
            services[1].directory.look_up("2031zzz")

        services[1].refresh(["2031zzz"])

        assert len(small.log) == 1
        state = services[1].state
        wait_s = ((state.targets.due_ms("2031zzz") or 0) - state.now_ms()) / 1000
        assert wait_s == pytest.approx(60, abs=5)
        clock = state.clocks.get("2031zzz")["mars"]
        assert "TNS: held back" in str(clock.error)
