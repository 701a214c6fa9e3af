"""`why` says what the dispatcher does, and each term that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yse_ingest.errors import UnknownTargetError
from yse_ingest.state import key_prefix, side_connection
from yse_ingest.targets import ADAPTIVE, Target, phase_of
from yse_ingest.times import iso_of_unix
from yse_ingest.watch.freshness import limit_of
from yse_ingest.why import schedule_of

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.targets import Cadence

NP = "2019np"
CADENCES = st.sampled_from([None, 60.0, 7200.0, 86400.0, ADAPTIVE])
DATES = st.sampled_from([None, -600, 600])
"""Seconds from now."""


@pytest.fixture(autouse=True)
def broker(house: House) -> str:
    """Give every service of the house a broker, whose queues are looked at."""
    house.environment["CELERY_BROKER_URL"] = house.redis.url()
    return house.redis.url()


def step(from_ms: float, every_ms: int, name: str) -> int:
    """Return the first time after ``from_ms`` that lies on a target's own grid."""
    phase = phase_of(name) % every_ms
    return int((from_ms - phase) // every_ms + 1) * every_ms + phase


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    own=CADENCES,
    person=CADENCES,
    default=st.sampled_from(["1800", ADAPTIVE]),
    until=DATES,
    expires=DATES,
    paused=st.sampled_from([None, "by hand"]),
    pace=st.sampled_from([None, 900.0]),
    due=st.sampled_from([-300, 300]),
    priority=st.integers(-2, 2),
)
def test_why_says_what_the_dispatcher_does(
    house: House,
    *,
    own: Cadence | None,
    person: Cadence | None,
    default: str,
    until: int | None,
    expires: int | None,
    paused: str | None,
    pace: float | None,
    due: int,
    priority: int,
) -> None:
    """Whatever is set: it is claimed exactly where `why` says so, and next when it says."""
    service = house.service(YSE_INGEST_CADENCE=default)
    targets, now_ms = service.state.targets, service.state.now_ms()

    def date(seconds: int | None) -> str | None:
        return None if seconds is None else iso_of_unix(now_ms / 1000 + seconds)

    given_target = Target(
        NP,
        157.3415,
        29.5106667,
        cadence_s=own,
        until=date(until),
        expires=date(expires),
        priority=priority,
    )
    targets.remove(NP)
    targets.put(given_target, origin="adhoc", due_ms=now_ms + 1000 * due)
    if pace is not None:
        targets.set_pace(NP, pace, now_ms + 1000 * due)
    if person is not None:
        targets.set_cadence(NP, person)
    if paused is not None:
        targets.pause(NP, paused)

    told = schedule_of(service, NP, now_ms=now_ms)
    claimed = targets.claim_due(now_ms, 10, cadence_s=service.default_cadence)

    assert [each.name for each in claimed] == ([NP] if told.is_asked_now else [])
    if due > 0:
        assert targets.due_ms(NP) == told.due_ms
        return
    assert targets.paused().get(NP) == told.paused
    every_ms = round(1000 * told.every_s)
    expected = step(now_ms + every_ms / 4, every_ms, NP)
    if until == 600 and told.said_by == "the target":
        over_ms = now_ms // 1000 * 1000 + 600_000
        general = 1000 * (1800.0 if default == "1800" else pace or 1800.0)
        if expected > over_ms:
            expected = min(expected, step(over_ms, round(general), NP))
    assert targets.due_ms(NP) == expected
    after = schedule_of(service, NP, now_ms=now_ms)
    assert after.next_ms == (None if told.paused else expected)
    assert (after.claimed_ms is not None) == told.is_asked_now


def test_each_term_of_an_adaptive_cadence_is_told(house: House) -> None:
    """What was told after the answer is what was done with it."""
    house.alerts("ZTF19aacgslb", 8)
    service = house.service(YSE_INGEST_CADENCE=ADAPTIVE)
    service.enqueue(Target(NP))
    before = schedule_of(service, NP)
    assert (before.cadence, before.every_s, before.told) == (ADAPTIVE, 1800.0, ())
    assert before.is_asked_now

    now_ms = service.state.now_ms()
    house.cycle(service, NP)

    told = schedule_of(service, NP)
    # Six years after its last alert; what the source had was new to us.
    assert told.told[0] == "30 min, the base"
    assert told.told[1].startswith("x 48: ")
    assert told.told[1].endswith(" d after discovery")
    assert told.every_s == 86400
    assert told.said_by == "the default"
    due_ms = told.due_ms
    assert due_ms is not None
    hour = due_ms / 3_600_000 % 24
    assert 2.0 <= hour < 15.0
    next_s = service.state.clocks.get(NP)["mars"].detail["next_s"]
    assert due_ms == pytest.approx(now_ms + 1000 * next_s, abs=10_000)
    # Nobody calls it stale before it was to be asked, by day or by night.
    clock = service.state.clocks.get(NP)["mars"]
    assert limit_of(service, told.target, clock, now_ms) >= max(3 * 86400, next_s)


def test_the_bounds_of_the_operator_hold(house: House) -> None:
    """Never more often, nor more seldom, than the settings say; the day comes on top."""
    house.alerts("ZTF19aacgslb", 8)
    service = house.service(
        YSE_INGEST_CADENCE=ADAPTIVE, YSE_INGEST_CADENCE_MIN="20m", YSE_INGEST_CADENCE_MAX="40m"
    )
    service.enqueue(Target(NP))
    house.cycle(service, NP)
    told = schedule_of(service, NP)
    assert told.every_s == 2400
    assert "at most 40 min apart, by the setting" in told.told


def test_a_fixed_cadence_is_untouched_by_an_answer(house: House) -> None:
    """The next time is the one that the claim set, as ever."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service()
    service.enqueue(Target(NP, cadence_s=7200.0))
    assert service.dispatch()
    due_ms = service.state.targets.due_ms(NP)
    house.cycle(service, NP)
    assert service.state.targets.due_ms(NP) == due_ms
    assert "next_s" not in service.state.clocks.get(NP)["mars"].detail
    assert schedule_of(service, NP).told == ()


def test_the_trend_is_kept_while_nothing_comes(house: House) -> None:
    """A quiet answer does not wipe out what the light curve last did."""
    for day, mag in enumerate((20.0, 19.5, 19.0, 18.5)):
        house.mars.add_alert("ZTF19aacgslb", 2458500.5 + day, "r", mag, 0.05, 157.3415, 29.5107)
    service = house.service(YSE_INGEST_CADENCE=ADAPTIVE)
    service.enqueue(Target(NP))
    house.cycle(service, NP)
    detail = service.state.clocks.get(NP)["mars"].detail
    assert detail["mag"] == pytest.approx(18.5)
    assert detail["slope"] == pytest.approx(-0.5)
    house.cycle(service, NP)
    again = service.state.clocks.get(NP)["mars"].detail
    assert (again["mag"], again["slope"]) == (detail["mag"], pytest.approx(-0.5))
    assert "x 0.5: brightens by 0.50 mag a day" in schedule_of(service, NP).told


def test_a_used_quota_slows_the_adaptive_down(house: House) -> None:
    """Nine of ten requests of this hour are used: who is not urgent comes later."""
    house.alerts("ZTF19aacgslb", 3)
    service = house.service(YSE_INGEST_CADENCE=ADAPTIVE, MARS_RATE="10/h")
    service.enqueue(Target(NP))
    for _ in range(8):
        service.meter("mars").take(patience_s=0.0)
    house.cycle(service, NP)
    (told,) = [line for line in schedule_of(service, NP).told if "quota" in line]
    assert told == "x 5: 90% of the source's quota of this hour is used"


@pytest.fixture
def queue(house: House, broker: str) -> Any:
    """Return a function that puts so many messages into the fetch queue of this house."""
    connection = side_connection(broker)
    key = key_prefix(house.environment["YSE_INGEST_NAMESPACE"]) + "fetch"

    def fill(count: int) -> None:
        connection.call("DEL", key)
        if count:
            connection.call("LPUSH", key, *["{}"] * count)

    yield fill
    connection.call("DEL", key)
    connection.close()


def test_a_long_queue_is_told_once_and_nothing_more_is_claimed(
    house: House, queue: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Back-pressure: less is claimed, then nothing; what is not claimed stays due."""
    house.environment |= {"YSE_INGEST_FETCH_QUEUE": "10", "YSE_INGEST_BATCH": "2"}
    service, other = house.service(), house.service()
    for number in range(40):
        service.enqueue(Target(f"t{number:02d}", 10.0 + number, 5.0))
    caplog.set_level("INFO", logger="yse_ingest.service")

    queue(10)
    assert service.dispatch() == other.dispatch() == []
    assert schedule_of(service, "t00").is_pressed
    queue(8)
    assert sum(len(batch.names) for batch in service.dispatch()) == 4
    assert not schedule_of(service, "t00").is_pressed
    queue(12)
    assert service.dispatch() == []
    queue(0)
    assert sum(len(batch.names) for batch in other.dispatch()) == 20
    assert sum(len(batch.names) for batch in service.dispatch()) == 16
    assert [record.message for record in caplog.records] == [
        "fetch queue is full, no target is claimed",
        "fetch queue has room again, targets are claimed",
    ]


def test_a_target_that_nobody_follows_has_no_schedule(house: House) -> None:
    """The error says how to follow it."""
    with pytest.raises(UnknownTargetError, match="not followed"):
        schedule_of(house.service(), "2000aa")
