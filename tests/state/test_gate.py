"""The gate in Redis: few requests at once, turns that come free, one probe at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import HeldBackError
from yse_ingest.limits import Limits
from yse_ingest.state import State
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yse_ingest.limits import Purpose

    Open = Callable[..., State]

HOLDER = """
import sys, time
from yse_ingest.limits import Limits
from yse_ingest.state import State
state = State.connect(
    sys.argv[1], namespace=sys.argv[2], decisions=None, limits=Limits(in_flight=1, turn_s=1.5)
)
with state.gate.turn("GET /", purpose="lookup"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def opened(server: EmbeddedRedis, namespace: str) -> Iterator[Open]:
    """Connect with these limits: each time another process of the same service."""
    with ExitStack() as stack:

        def connect(**limits: Any) -> State:
            return stack.enter_context(
                State.connect(
                    server.url(), namespace=namespace, decisions=None, limits=Limits(**limits)
                )
            )

        yield connect


def ask(state: State, *, ok: bool = True, purpose: Purpose = "lookup") -> None:
    """Have one request under way, which YSE-PZ answers or not."""
    with state.gate.turn("GET /api/", purpose=purpose) as turn:
        turn.answered = ok


def test_never_more_than_the_cap_are_under_way(opened: Open) -> None:
    """Twelve askers in three processes' worth of connections: two at a time, all served."""
    states = [opened(in_flight=2) for _ in range(3)]
    under_way: list[int] = []
    most: list[int] = []
    served: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            with states[number % 3].gate.turn("GET /", purpose="lookup"):
                under_way.append(number)
                most.append(len(under_way))
                time.sleep(0.005)
                under_way.remove(number)
        served.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(served) == list(range(12))
    assert max(most) == 2
    assert states[0].gate.state() == {"under_way": 0, "turns": 2, "waiting": 0}


def test_a_killed_holder_s_turn_comes_free(
    opened: Open, server: EmbeddedRedis, namespace: str
) -> None:
    """A process that is killed with a turn gives it back when it would have ended."""
    state = opened(in_flight=1, turn_s=1.5, patience_s=10.0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, server.url(), namespace], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert state.gate.state()["under_way"] == 1

    with state.gate.turn("GET /", purpose="lookup"):
        assert state.gate.state()["under_way"] == 1


def test_no_turn_in_time_is_an_error_that_proves_nothing_was_sent(opened: Open) -> None:
    """Who waited in vain may try again, knows why, and stands in nobody's way."""
    state = opened(in_flight=1, patience_s=0.2)
    with (
        state.gate.turn("GET /", purpose="upload"),
        pytest.raises(HeldBackError, match=r"POST /add/ was not sent: no turn within 0.2 s"),
        state.gate.turn("POST /add/", purpose="upload"),
    ):
        pytest.fail("two at once")

    assert state.gate.state()["waiting"] == 0
    ask(state)


def test_uploads_go_before_audits(opened: Open) -> None:
    """Of those who wait, an upload is served before an audit that came earlier."""
    state = opened(in_flight=1, patience_s=10.0)
    order: list[str] = []

    def wait(purpose: Purpose) -> threading.Thread:
        def run() -> None:
            with state.gate.turn("GET /", purpose=purpose):
                order.append(purpose)

        waiting = state.gate.state()["waiting"]
        thread = threading.Thread(target=run)
        thread.start()
        deadline = time.monotonic() + 5
        while state.gate.state()["waiting"] == waiting and time.monotonic() < deadline:
            time.sleep(0.005)
        return thread

    with state.gate.turn("GET /", purpose="lookup"):
        threads = [wait("audit"), wait("upload"), wait("verify"), wait("push")]
    for thread in threads:
        thread.join()

    assert order == ["push", "upload", "verify", "audit"]


def test_a_waiter_that_died_blocks_nobody(opened: Open) -> None:
    """A place in the queue is lost when nobody asks for it any more."""
    state = opened(in_flight=1, patience_s=1.0)
    waiting, seen = state._keys("turns", "waiting"), state._keys("turns", "seen")
    state._connection.call("ZADD", waiting, 1, "dead")
    state._connection.call("ZADD", seen, state.now_ms() + 100, "dead")

    ask(state)

    assert state._connection.call("EXISTS", waiting, seen) == 0


def test_a_trickling_answer_keeps_its_turn(opened: Open) -> None:
    """An answer that comes in for longer than a turn lasts is not overtaken."""
    state = opened(in_flight=1, turn_s=0.4, patience_s=0.1)
    with state.gate.turn("GET /", purpose="lookup") as turn:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            turn.renew()
            time.sleep(0.02)
            with pytest.raises(HeldBackError), state.gate.turn("GET /", purpose="push"):
                pytest.fail("two at once")


def test_an_answer_survives_the_loss_of_redis(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """When Redis goes away during a request, what YSE-PZ answered is not lost with it."""
    with EmbeddedRedis(tmp_path_factory.mktemp("lost")) as redis:
        state = State.connect(redis.url(), namespace="lost", decisions=None)
        with state.gate.turn("POST /add/", purpose="upload") as turn:
            turn.answered = True
            redis.stop()
    state.close()

    assert "turn not given back" in caplog.text


# ------------------------------------------------------------------ the breaker of YSE-PZ


def test_failures_of_any_kind_of_request_open_the_breaker(opened: Open) -> None:
    """Look-ups, read-backs and uploads count together; then nothing is sent until a probe."""
    state = opened(failures=3, probe_s=60.0)
    purposes: tuple[Purpose, ...] = ("lookup", "verify", "upload")
    for purpose in purposes:
        assert not state.outbox.breaker()["open"]
        ask(state, ok=False, purpose=purpose)

    assert state.outbox.breaker()["open"]
    assert state.outbox.breaker()["since_ms"] <= state.now_ms()
    with pytest.raises(HeldBackError, match="YSE-PZ is down, and is tried again in") as caught:
        ask(state)
    assert caught.value.retry_after == pytest.approx(60.0, abs=5.0)


def test_one_probe_at_a_time_while_it_is_down(opened: Open) -> None:
    """Of many who ask when the wait is over one goes; an answer lets all in, two at a time."""
    state = opened(in_flight=2, failures=1, probe_s=0.2, patience_s=10.0)
    ask(state, ok=False)
    sent: list[float] = []
    refused: list[HeldBackError] = []

    def attempt() -> None:
        try:
            with state.gate.turn("GET /", purpose="lookup") as turn:
                sent.append(time.monotonic())
                time.sleep(0.1)
                turn.answered = False
        except HeldBackError as error:
            refused.append(error)

    time.sleep(0.25)
    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(sent), len(refused)) == (1, 7)
    assert state.outbox.breaker()["interval_ms"] == 400
    time.sleep(0.45)
    ask(state)
    assert not state.outbox.breaker()["open"]
    for _ in range(3):
        ask(state)


def test_the_first_request_of_a_claimed_row_is_the_probe(opened: Open, curve: Any) -> None:
    """A row that was claimed as the probe may ask; a look-up beside it may not."""
    state = opened(failures=1, probe_s=0.1)
    state.outbox.owe("7", curve(), target="SN", gaps={}, tolerance_ms=1.0)
    ask(state, ok=False)
    time.sleep(0.15)
    assert len(state.outbox.claim(5, lease_s=60.0, cap=5)) == 1

    with pytest.raises(HeldBackError):
        ask(state, purpose="lookup")
    ask(state, purpose="upload")

    assert not state.outbox.breaker()["open"]


def test_doctor_may_ask_before_the_time(opened: Open) -> None:
    """A person who asks need not wait for the next probe, and an answer ends the waiting."""
    state = opened(failures=1, probe_s=60.0)
    ask(state, ok=False)

    ask(state, purpose="doctor")

    assert not state.outbox.breaker()["open"]


def test_a_request_that_was_stopped_by_ourselves_says_nothing(opened: Open) -> None:
    """What ended before its first byte is no failure, no answer, and costs nothing."""
    state = opened(failures=1)
    with pytest.raises(ZeroDivisionError), state.gate.turn("GET /", purpose="upload"):
        raise ZeroDivisionError

    assert state.outbox.breaker()["failures"] == 0
    assert state.budget.spending().total() == 0
    assert state.gate.state()["under_way"] == 0


# ------------------------------------------------------------------ the breakers of sources


def test_a_source_that_is_down_is_asked_by_one(opened: Open) -> None:
    """While a source is down one asks at a time, the wait doubles, an answer ends it."""
    state = opened(failures=2, probe_s=0.2)
    for _ in range(2):
        breaker = state.source_breaker("mars")
        assert breaker.ask(report_s=60.0) == 0
        breaker.record(ok=False, reason="connection refused")
    assert state.source_breaker("mars").ask(report_s=60.0) > 0
    assert state.source_breaker("alerce").ask(report_s=60.0) == 0
    assert state.source_breaker("mars").state()["reason"] == "connection refused"

    time.sleep(0.25)
    probe, other = state.source_breaker("mars"), state.source_breaker("mars")
    assert probe.ask(report_s=60.0) == 0
    assert other.ask(report_s=60.0) > 1
    other.record(ok=False)
    assert state.source_breaker("mars").state()["interval_ms"] == 200
    probe.record(ok=False)
    assert state.source_breaker("mars").state()["interval_ms"] == 400

    time.sleep(0.45)
    again = state.source_breaker("mars")
    assert again.ask(report_s=60.0) == 0
    again.withdraw()
    last = state.source_breaker("mars")
    assert last.ask(report_s=60.0) == 0
    last.record(ok=True)
    assert not state.source_breaker("mars").state()["open"]
