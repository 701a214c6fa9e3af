"""Requests to YSE-PZ take turns across processes, and nobody asks what is down."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from yse_ingest.errors import HeldBackError, YsePzUnavailableError
from yse_ingest.push import push
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.targets import Target

ASKER = Path(__file__).with_name("asker.py")
RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")


def environment(house: Any, ysepz: YsePzStandIn, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        **house.environment,
        "YSE_PZ_URL": ysepz.url,
        "YSE_INGEST_STATE_URL": house.redis.url(1),
        **more,
    }


def ask_from_three_processes(*arguments: str, env: dict[str, str]) -> None:
    processes = [
        subprocess.Popen([sys.executable, str(ASKER), *arguments], env=env) for _ in range(3)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]


def mend_after(ysepz: YsePzStandIn, requests: int) -> None:
    deadline = time.monotonic() + 60
    while len(ysepz.log) < requests and time.monotonic() < deadline:
        time.sleep(0.01)
    ysepz.faults.clear()


def test_processes_together_never_exceed_the_cap(house: Any) -> None:
    """Three processes of four threads: never more than two requests open at the server."""
    with YsePzStandIn(workers=12) as ysepz:
        ysepz.add_transient("2019np", RA, DEC)
        ysepz.faults.add(Fault("slow", seconds=0.02))
        ask_from_three_processes("rounds", "4", "3", env=environment(house, ysepz))

        assert ysepz.max_in_flight == 2
        read_backs = [each for each in ysepz.log if each.path.startswith("/download_data/")]
        assert len(read_backs) == 3 * 4 * 3


def test_processes_together_probe_one_at_a_time(house: Any) -> None:
    """While YSE-PZ is down, eager processes have one request under way, then none for a while.

    When it answers again all of them go on, two at a time.
    """
    with YsePzStandIn(workers=12) as ysepz:
        ysepz.faults.add(Fault("hang", seconds=0.15))
        mending = threading.Thread(target=mend_after, args=(ysepz, 11))
        mending.start()
        ask_from_three_processes(
            "until",
            "4",
            "3",
            env=environment(
                house, ysepz, YSE_INGEST_PROBE_WAIT="0.2", YSE_INGEST_PROBE_WAIT_MAX="0.4"
            ),
        )
        mending.join()

        asked = sorted(ysepz.log, key=lambda each: each.started)
        down = [each for each in asked if each.status == 0]
        # The first six went before five failures were known; then the probes.
        pauses = [after.started - before.ended for before, after in pairwise(down[6:])]
        assert len(pauses) >= 4
        assert min(pauses) > 0.15
        assert len([each for each in asked if each.status == 200]) == 3 * 4 * 3
        assert ysepz.max_in_flight == 2


def test_push_with_a_state_takes_the_same_turns(house: Any) -> None:
    """While others hold every turn, a push with a state URL waits, and one without does not."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service()
    with service.state.gate.turn("GET /", purpose="audit"):
        with service.state.gate.turn("GET /", purpose="audit"):
            assert house.push(NP).state == "verified"
            requests = len(house.ysepz.log)
            results: list[Any] = []
            pushing = threading.Thread(
                target=lambda: results.extend(push(house.service(), [NP]))
            )
            pushing.start()
            deadline = time.monotonic() + 10
            while not service.state.gate.state()["waiting"]:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert len(house.ysepz.log) == requests
        pushing.join()

    assert results[0].state == "verified"
    assert set(service.budget.state()["by"]) <= {"push", "lookup"}


def test_a_request_that_was_given_up_holds_no_turn(house: Any) -> None:
    """Its turn is free at once, though YSE-PZ may still be busy; the time of waiting counts."""
    service = house.service(YSE_PZ_IN_FLIGHT="1")
    house.ysepz.faults.add(Fault("slow", seconds=6.0, times=1))

    with pytest.raises(YsePzUnavailableError, match="no answer"):
        service.ysepz.ping()

    assert house.ysepz.in_flight == 1
    assert service.state.gate.state()["under_way"] == 0
    assert service.budget.spending().total() >= 2.0
    service.ysepz.ping()


def test_no_turn_leaves_the_points_owed_and_nothing_sent(house: Any) -> None:
    """An upload whose turn does not come is retried; YSE-PZ is not asked and not blamed."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service(YSE_INGEST_LEASE="8", YSE_PZ_IN_FLIGHT="1")
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])
    requests = len(house.ysepz.log)

    with service.state.gate.turn("GET /", purpose="lookup"):
        outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "retry"
    assert isinstance(outcome.error, HeldBackError)
    assert "no turn" in str(outcome.error)
    assert len(house.ysepz.log) == requests
    assert service.state.outbox.breaker()["failures"] == 0
    assert service.upload(hint.name, hint.key, hint.fence, attempt=2).state == "verified"


def test_failures_of_look_ups_open_the_breaker_and_uploads_wait(house: Any) -> None:
    """A YSE-PZ that is down is found out by look-ups; then nothing is sent but probes."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service(
        YSE_INGEST_PROBE_WAIT="0.3", YSE_INGEST_OWED_WAIT="0.1", YSE_INGEST_RETRIES="0"
    )
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])
    service.state.outbox.release(hint.key, hint.fence)
    house.ysepz.faults.add(Fault("status", status=503))
    service.ysepz.close()
    for number in range(5):
        service.enqueue(Target(f"2020a{number}", ra=10.0 + number, dec=5.0))
        service.refresh([f"2020a{number}"])
    assert service.state.outbox.breaker()["open"]
    asked = len(house.ysepz.log)

    service.enqueue(Target("2020b", ra=50.0, dec=5.0))
    assert service.refresh(["2020b"]) == []
    assert service.drain() == []

    assert len(house.ysepz.log) == asked
    clock = service.state.clocks.get("2020b")["mars"]
    assert clock.asked_ms is None
    assert "YSE-PZ is down" in (clock.error or "")
    due_ms = service.state.targets.due_ms("2020b")
    assert due_ms is not None
    assert due_ms > service.state.now_ms()

    time.sleep(0.35)
    (probe,) = service.drain()
    assert service.drain() == []
    assert service.upload(probe.name, probe.key, probe.fence, attempt=1).state == "later"
    assert len(house.ysepz.log) == asked + 1
    house.ysepz.faults.clear()
    time.sleep(0.7)
    (probe,) = service.drain()
    assert service.upload(probe.name, probe.key, probe.fence, attempt=1).state == "verified"
    assert not service.state.outbox.breaker()["open"]
    assert len(house.ysepz.rows("2019np")) == 3


def test_a_source_that_is_down_is_not_asked(house: Any) -> None:
    """Its targets keep what they knew, whether they were ever asked, and come back soon."""
    service = house.service(YSE_INGEST_PROBE_WAIT="60", YSE_INGEST_BREAKER_FAILURES="2")
    house.ysepz.add_transient("2020b", 50.0, 5.0)
    for name in ("2019np", "2020b"):
        service.enqueue(Target(name))
    house.mars.faults.add(Fault("status", status=503))
    service.refresh(["2019np"])
    service.refresh(["2019np"])
    asked = len(house.mars.log)

    service.state.targets.set_due("2019np", 0)
    service.dispatch()
    assert service.refresh(["2019np", "2020b"]) == []

    assert len(house.mars.log) == asked
    assert service.state.targets.sweep(older_than_s=-1.0) == 0
    once, never = (service.state.clocks.get(name)["mars"] for name in ("2019np", "2020b"))
    assert (once.silence, never.silence) == ("not asked", "never asked")
    assert once.status == "error"
    assert once.error == never.error == "mars is down"
    for name in ("2019np", "2020b"):
        wait_ms = (service.state.targets.due_ms(name) or 0) - service.state.now_ms()
        assert 0 < wait_ms < 70_000
    assert service.state.source_breaker("mars").state()["open"]
    assert "503" in service.state.source_breaker("mars").state()["reason"]


def test_what_the_budget_holds_stays_owed_and_people_go_on(house: Any) -> None:
    """With the budget spent, targets of the file wait; a push and a target by hand do not."""
    house.alerts("ZTF19aacgslb", 3)
    file = Path(house.environment["YSE_INGEST_STATE_DIR"]).parent / "targets.toml"
    file.write_text('[[targets]]\nname = "2019np"\n', encoding="utf-8")
    service = house.service(YSE_INGEST_BUDGET="0", YSE_INGEST_TARGETS=str(file))
    service.sync_targets_file()

    assert service.refresh(["2019np"]) == []
    assert not house.ysepz.log
    service.remember("2019np", house.service(state=False).ysepz.transient_by_name("2019np"))
    assert service.refresh(["2019np"]) == []
    assert service.state.outbox.counts()["points"] == 3
    assert service.drain() == []
    assert house.writes() == []
    assert service.budget.state()["held"].keys() == {
        "upload", "lookup", "verify", "audit", "adopt"
    }  # fmt: skip

    service.enqueue(Target("2019np"))
    (hint,) = service.drain()
    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)
    assert outcome.state == "verified"
    assert next(push(service, [NP])).state == "verified"
    assert service.budget.spending().total("upload", "push", "lookup") > 0


def test_a_lease_is_renewed_before_reads_too(house: Any) -> None:
    """An upload of slow requests, reads among them, is taken from it by nobody."""
    house.alerts("ZTF19aacgslb", 3)
    short = {
        "YSE_PZ_CONNECT_TIMEOUT": "0.2",
        "YSE_PZ_READ_TIMEOUT": "0.9",
        "YSE_INGEST_LEASE": "1.5",
    }
    service, other = house.service(**short), house.service(**short)
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])
    house.ysepz.faults.add(Fault("slow", seconds=0.7))
    outcomes: list[Any] = []
    work = threading.Thread(
        target=lambda: outcomes.append(
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        )
    )
    work.start()
    taken = []
    while work.is_alive():
        taken += other.drain()
        time.sleep(0.02)

    assert taken == []
    assert outcomes[0].state == "verified"


@pytest.mark.parametrize("kind", ["down", "error_before"])
def test_a_server_that_answers_an_error_page_is_not_down(house: Any, kind: Any) -> None:
    """A lost connection and a database that is away count as failures, a refusal does not."""
    service = house.service()
    service.state.outbox.record(ok=True)
    house.ysepz.faults.add(Fault(kind, times=1))
    with pytest.raises(Exception, match="YSE-PZ"):
        service.ysepz.ping()
    assert service.state.outbox.breaker()["failures"] == 1

    assert service.ysepz.transient_by_pk(999) is None
    assert service.state.outbox.breaker()["failures"] == 0
