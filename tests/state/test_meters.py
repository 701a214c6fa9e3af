"""The meter of a source: never more than allowed, whoever asks; who waits is served in turn."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yse_ingest.errors import SourceHeldBackError
from yse_ingest.meter import LocalMeter, Rate
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.server import Request
    from yse_ingest.state import State
    from yse_ingest.state.embedded import EmbeddedRedis
    from yse_ingest.state.meters import SharedMeter

    Connect = Callable[..., State]

PER_SECOND = (Rate(5, "s"),)
WORKER = """
import sys, threading
from yse_ingest.errors import SourceHeldBackError
from yse_ingest.meter import Rate
from yse_ingest.sources.http import HttpClient
from yse_ingest.state import State
redis, namespace, url = sys.argv[1:]
state = State.connect(redis, namespace=namespace, decisions=None)
meter = state.source_meter("slow", service="Slow", rates=(Rate(5, "s"),), batch_size=1)
http = HttpClient(url, service="Slow", meter=meter, concurrency=4)
def ask():
    for _ in range(4):
        http.get("rows", deadline=http.deadline())
threads = [threading.Thread(target=ask) for _ in range(2)]
for each in threads: each.start()
for each in threads: each.join()
"""


class Counted(StandIn):
    """Answers everything, or 429 for a while."""

    def handle(self, request: Request) -> Reply:
        return Reply.json([])


def meter_of(state: State, *rates: Rate, batch_size: int = 1) -> SharedMeter:
    return state.source_meter("slow", service="Slow", rates=rates, batch_size=batch_size)


def most_in(times: list[float], window_s: float) -> int:
    """Return how many of these times lie in the fullest window."""
    times = sorted(times)
    return max(
        sum(begin <= each < begin + window_s for each in times[number:])
        for number, begin in enumerate(times)
    )


def test_workers_in_two_processes_never_exceed_the_rate(
    server: EmbeddedRedis, namespace: str
) -> None:
    """Four threads in two processes, sixteen requests: no second of the log holds six."""
    with Counted() as slow:
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, server.url(), namespace, slow.url])
            for _ in range(2)
        ]
        assert [each.wait(60) for each in workers] == [0, 0]

        times = [entry.started for entry in slow.log]
    assert len(times) == 16
    assert most_in(times, 1.0) <= 5
    assert max(times) - min(times) >= 3.0


def test_eight_workers_two_a_second_and_a_429(connect: Connect) -> None:
    """From the log: no second holds three; a second of silence after the 429."""
    rate = Rate(2, "s")
    with Counted() as slow:
        slow.faults.add(_too_many("2", after_skip=6, times=1))
        errors: list[Exception] = []

        def work(meter: SharedMeter) -> None:
            http = HttpClient(slow.url, service="Slow", meter=meter)
            try:
                for _ in range(2):
                    http.get("rows", deadline=http.deadline())
            except SourceHeldBackError as error:
                errors.append(error)
            finally:
                http.close()

        workers = [
            threading.Thread(target=work, args=(meter_of(connect(), rate),)) for _ in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        log = list(slow.log)
    times = [entry.started for entry in log]
    assert most_in(times, 1.0) <= 2
    refused = next(entry for entry in log if entry.status == 429)
    # What was on its way at that moment cannot be called back.
    after = [each for each in times if each > refused.ended + 0.1]
    assert after
    assert min(after) - refused.ended >= 1.9
    assert all("asked again in" in str(error) for error in errors)


steps = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=3),
        st.floats(min_value=0.0, max_value=1.5),
        st.floats(min_value=0.0, max_value=4.0),
    ),
    min_size=1,
    max_size=40,
)


@given(steps)
@settings(max_examples=200, deadline=None)
def test_no_window_of_any_interleaving_holds_more(
    asked: list[tuple[int, float, float]],
) -> None:
    """Property of the in-process meter: whoever asks when, for now or for later."""
    now = [0.0]
    rates = (Rate(3, "s"), Rate(20, "min"))
    meter = LocalMeter("Slow", rates, clock=lambda: now[0])
    sent, waits = list[float](), list[float]()
    for _, pause_s, after_s in asked:
        now[0] += pause_s
        try:
            sent.append(now[0] + meter.take(patience_s=2.0, after_s=after_s))
        except SourceHeldBackError as error:
            waits.append(error.retry_after or 0.0)
    assert all(wait_s > 2.0 for wait_s in waits)
    for rate in rates:
        assert not sent or most_in(sent, rate.window_s) <= rate.count


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1500)),
        min_size=1,
        max_size=25,
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_reservations_in_redis_never_exceed_the_rate(
    connect: Connect, asked: list[tuple[int, int]]
) -> None:
    """Property of the shared meter: three connections, for now or for later, in any order."""
    states = [connect(namespace=f"meter-{time.monotonic_ns()}")]
    states += [connect(namespace=states[0].namespace) for _ in range(2)]
    meters = [meter_of(state, Rate(3, "s")) for state in states]
    for number, after_ms in asked:
        meters[number].take(patience_s=60.0, after_s=after_ms / 1000)
    key = meters[0]._taken
    slots = states[0]._connection.call("ZRANGE", key, 0, -1, "WITHSCORES")
    times = [float(score) for _, score in _pairs(slots)]
    assert len(times) == len(asked)
    assert most_in(times, 1000.0) <= 3
    for state in states:
        state.close()


def _pairs(reply: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(reply[::2], reply[1::2], strict=True))


def test_a_spent_budget_says_when_it_is_free(state: State) -> None:
    """Who would wait too long is told at once how long; nothing was reserved."""
    meter = meter_of(state, Rate(2, "h"))
    assert meter.take(patience_s=5.0) == 0.0
    assert meter.take(patience_s=5.0) == 0.0

    with pytest.raises(SourceHeldBackError, match="its budget of 2/h is spent") as caught:
        meter.take(patience_s=5.0)

    assert caught.value.retry_after == pytest.approx(3600, abs=2)
    assert meter.state()["rates"] == {"2/h": 2}
    assert meter.state()["requests_hour"] == 2


def test_what_one_worker_was_told_holds_for_all(connect: Connect) -> None:
    """A 429 with Retry-After stops every worker until then, also without a declared rate."""
    first, second = meter_of(connect()), meter_of(connect())
    with Counted() as slow:
        slow.faults.add(_too_many("120"))
        asker = HttpClient(slow.url, service="Slow", meter=first)
        other = HttpClient(slow.url, service="Slow", meter=second)
        with pytest.raises(Exception, match="answered 429"):
            asker.get("rows", deadline=asker.deadline())
        with pytest.raises(SourceHeldBackError, match="it answered 429 and asked us to wait"):
            other.get("rows", deadline=other.deadline())
        assert len(slow.log) == 1
        asker.close()
        other.close()
    wait_s, why = second.admit("2019np")
    assert wait_s == pytest.approx(120, abs=2)
    assert why == "it answered 429 and asked us to wait"


def _too_many(seconds: str, **when: int) -> Fault:
    return Fault("status", status=429, headers={"Retry-After": seconds}, **when)  # type: ignore[arg-type]


def test_who_waits_longest_is_served_first(state: State) -> None:
    """Six targets wait for two requests a second; later ones never go before earlier ones."""
    meter = meter_of(state, Rate(2, "s"))
    meter.take(patience_s=9)
    meter.take(patience_s=9)
    waits = [meter.admit(f"t{number}")[0] for number in range(6)]
    assert waits == pytest.approx([1.1, 1.1, 2.2, 2.2, 3.3, 3.3], abs=0.2)

    served: list[str] = []
    deadline = time.monotonic() + 20
    while len(served) < 6 and time.monotonic() < deadline:
        # Newcomers ask all the time, and always before those that wait.
        for name in (f"new{time.monotonic_ns()}", *(f"t{number}" for number in range(6))):
            if name in served or meter.admit(name)[0]:
                continue
            try:
                meter.take(patience_s=0.0)
            except SourceHeldBackError:
                continue
            meter.leave(name)
            served.append(name)
    # Two are free at once: which of them is first does not matter.
    pairs = [set(served[start : start + 2]) for start in range(0, 6, 2)]
    assert pairs == [{"t0", "t1"}, {"t2", "t3"}, {"t4", "t5"}]


def test_who_never_comes_back_holds_nobody_up(state: State, until: Any) -> None:
    """A place in the line that nobody claims ends by itself."""
    meter = meter_of(state, Rate(1, "s"))
    meter.take(patience_s=9)
    assert meter.admit("gone")[0] > 0
    state._connection.call("ZADD", meter._seen, 1, "gone")

    until(lambda: meter.admit("there")[0] == 0.0)


def test_a_batch_is_one_request(state: State) -> None:
    """Fifty targets of one request are let through together, the next fifty wait."""
    meter = meter_of(state, Rate(2, "h"), batch_size=50)
    meter.take(patience_s=9)
    assert {meter.admit(f"t{number}")[0] for number in range(100)} == {0.0}
    meter.take(patience_s=9)
    assert all(meter.admit(f"t{number}")[0] > 3500 for number in range(100))


def test_threads_of_one_process_share_the_local_meter() -> None:
    """Without Redis: twelve threads, five a second."""
    meter = LocalMeter("Slow", PER_SECOND)
    start, sent = time.monotonic(), list[float]()

    def work() -> None:
        wait_s = meter.take(patience_s=9.0)
        sent.append(time.monotonic() - start + wait_s)

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 12
    assert most_in(sent, 1.0) <= 5


def test_without_redis_a_process_counts_for_itself(
    server: EmbeddedRedis, connect: Connect
) -> None:
    """A meter whose Redis is gone still keeps to the budget."""
    state = connect()
    meter = meter_of(state, Rate(1, "h"))
    meter._connection = type(state._connection).open(
        "redis://127.0.0.1:1/0", socket_timeout=0.1, connect_timeout=0.1
    )
    assert meter.take(patience_s=1.0) == 0.0
    with pytest.raises(SourceHeldBackError):
        meter.take(patience_s=1.0)
