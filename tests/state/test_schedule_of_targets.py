"""When a target is asked: adaptive pace, own cadence until a date, expiry, priority."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from yse_ingest.cadence import Facts, adaptive
from yse_ingest.state import Backfill
from yse_ingest.targets import ADAPTIVE, Target, phase_of
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from tests.state.conftest import Connect
    from yse_ingest.state import State
    from yse_ingest.targets import Cadence

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
HALF_HOUR_S = 1800.0


def at(minutes: float) -> str:
    """Return a date so many minutes after now."""
    return iso_of_unix(NOW_MS / 1000 + 60 * minutes)


def claim(state: State, now_ms: int = NOW_MS, limit: int = 10) -> list[str]:
    return [each.name for each in state.targets.claim_due(now_ms, limit, cadence_s=HALF_HOUR_S)]


def step_ms(state: State, name: str) -> int:
    """Return how far apart the next two times of a target are."""
    first = state.targets.due_ms(name)
    assert first is not None
    assert name in claim(state, first, 1000)
    second = state.targets.due_ms(name)
    assert second is not None
    return second - first


def test_an_adaptive_target_goes_by_its_pace(state: State) -> None:
    """By the base where none was told; then by what was told; a person's word goes first."""
    state.targets.put(Target("a", cadence_s=ADAPTIVE), origin="file", due_ms=1)
    assert state.targets.get("a") == Target("a", cadence_s=ADAPTIVE)
    assert claim(state) == ["a"]
    assert step_ms(state, "a") == 30 * MINUTE_MS
    state.targets.set_pace("a", 600.0, NOW_MS + 5 * MINUTE_MS)
    assert state.targets.due_ms("a") == NOW_MS + 5 * MINUTE_MS
    assert state.targets.pace_s("a") == 600.0
    assert claim(state) == []
    assert claim(state, NOW_MS + 5 * MINUTE_MS) == ["a"]
    assert step_ms(state, "a") == 10 * MINUTE_MS
    state.targets.set_cadence("a", 7200.0)
    assert claim(state, NOW_MS + 60 * MINUTE_MS) == ["a"]
    assert step_ms(state, "a") == 120 * MINUTE_MS


def test_the_default_and_a_person_may_say_adaptive(state: State) -> None:
    """Then the pace holds for whoever says nothing else, or although it does."""
    state.targets.put(Target("plain"), origin="file", due_ms=1)
    state.targets.put(Target("own", cadence_s=60.0), origin="file", due_ms=2)
    state.targets.set_pace("plain", 900.0, 1)
    state.targets.set_pace("own", 900.0, 2)
    assert state.targets.claim_due(NOW_MS, 9, cadence_s=ADAPTIVE) == [
        ("plain", ""),
        ("own", ""),
    ]
    due = [state.targets.due_ms(name) or 0 for name in ("plain", "own")]
    assert NOW_MS + 225_000 < due[0] <= NOW_MS + 1_125_000
    assert due[1] <= NOW_MS + 75_000
    state.targets.set_cadence("own", ADAPTIVE)
    assert state.targets.cadences() == {"own": ADAPTIVE}
    assert state.targets.claim_due(due[1], 9, cadence_s=ADAPTIVE) == [("own", "")]
    assert step_ms(state, "own") == 15 * MINUTE_MS


def test_an_own_cadence_holds_until_its_date(state: State) -> None:
    """Every minute for an hour, then as all others; a slow one does not outlast its date."""
    state.targets.put(Target("fast", cadence_s=60.0, until=at(60)), origin="file", due_ms=1)
    state.targets.put(Target("slow", cadence_s=86400.0, until=at(60)), origin="file", due_ms=1)
    assert set(claim(state)) == {"fast", "slow"}
    assert step_ms(state, "fast") == MINUTE_MS
    assert NOW_MS + 60 * MINUTE_MS < (state.targets.due_ms("slow") or 0) <= NOW_MS + 90 * 60_000
    assert "fast" in claim(state, NOW_MS + 61 * MINUTE_MS)
    assert step_ms(state, "fast") == 30 * MINUTE_MS


def test_an_expired_target_is_paused_with_the_reason(state: State) -> None:
    """Nothing is asked from its date on; with another date it goes on by itself."""
    ends = at(10)
    state.targets.put(Target("a", expires=ends), origin="file", due_ms=1)
    assert claim(state) == ["a"]
    assert claim(state, NOW_MS + 120 * MINUTE_MS) == []
    assert state.targets.paused() == {"a": f"expired {ends}"}
    state.targets.put(Target("a", expires=at(600)), origin="file", due_ms=1)
    assert claim(state, NOW_MS + 120 * MINUTE_MS) == ["a"]
    assert state.targets.paused() == {}


def test_a_pause_by_hand_stays_one(state: State) -> None:
    """A person's reason is not overwritten by the date, nor ended by a later one."""
    state.targets.put(Target("a", expires=at(10)), origin="file", due_ms=1)
    state.targets.pause("a", "host nucleus")
    assert claim(state, NOW_MS + 60 * MINUTE_MS) == []
    state.targets.put(Target("a"), origin="file", due_ms=1)
    assert claim(state, NOW_MS + 60 * MINUTE_MS) == []
    assert state.targets.paused() == {"a": "host nucleus"}


def test_higher_priorities_go_first_and_the_oldest_never_starve(state: State) -> None:
    """Eight of a hundred: two that wait longest, then the high ones wherever they stand."""
    for number in range(100):
        state.targets.put(Target(f"t{number:02d}"), origin="file", due_ms=number)
    for number in (90, 91, 92):
        state.targets.put(Target(f"t{number}", priority=1), origin="file")
    state.targets.put(Target("t95", priority=5), origin="file")
    state.targets.put(Target("t02", priority=-1), origin="file")
    assert claim(state, limit=8) == ["t00", "t01", "t95", "t90", "t91", "t92", "t03", "t04"]
    assert claim(state, limit=8)[:2] == ["t02", "t05"]
    state.targets.put(Target("t99"), origin="file")
    left = [name for _ in range(20) for name in claim(state, limit=8)]
    assert len(left) == len(set(left)) == 84


def test_priority_is_nothing_where_all_can_be_asked(state: State) -> None:
    """Then all go, longest due first; a target that is removed leaves nothing behind."""
    state.targets.put(Target("low", priority=-1), origin="file", due_ms=1)
    state.targets.put(Target("high", priority=3), origin="file", due_ms=2)
    assert claim(state) == ["low", "high"]
    for name in ("low", "high"):
        state.targets.remove(name)
    assert claim(state, NOW_MS + 10**9) == []
    assert state._connection.call("EXISTS", state._keys("targets", "priority")) == 0


@pytest.mark.parametrize("killed_after", [0, 3], ids=["at-once", "later"])
def test_two_beats_of_which_one_dies_ask_about_adaptive_targets_once(
    state: State, connect: Connect, killed_after: int
) -> None:
    """Each time of each target is claimed by one of the two, and by the other alone later."""
    names = [f"t{number}" for number in range(60)]
    for name in names:
        state.targets.put(Target(name, cadence_s=ADAPTIVE), origin="file", due_ms=1)
        state.targets.set_pace(name, 600.0, 1)
    claims: list[tuple[int, str]] = []

    def tick(beat: State, now_ms: int, barrier: threading.Barrier) -> None:
        barrier.wait()
        found = beat.targets.claim_due(now_ms, 1000, cadence_s=HALF_HOUR_S)
        claims.extend((now_ms, each.name) for each in found)

    beats = [state, connect()]
    for minute in range(60):
        if minute == killed_after:
            del beats[1]
        barrier = threading.Barrier(len(beats))
        threads = [
            threading.Thread(target=tick, args=(beat, NOW_MS + minute * MINUTE_MS, barrier))
            for beat in beats
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(claims) == len(set(claims))
    for name in names:
        times = sorted(now_ms for now_ms, claimed in claims if claimed == name)
        assert times[0] == NOW_MS
        gaps = [later - earlier for earlier, later in itertools.pairwise(times[1:])]
        # Minutes are the grain of these ticks.
        assert all(9 * MINUTE_MS <= gap <= 11 * MINUTE_MS for gap in gaps), name
        assert len(times) >= 6


@pytest.mark.parametrize("cadence", [HALF_HOUR_S, ADAPTIVE], ids=["fixed", "adaptive"])
def test_after_a_downtime_targets_come_in_turn_and_lie_apart_again(
    state: State, cadence: Cadence
) -> None:
    """Six hundred were due: a hundred a tick, the oldest first, and flat thereafter."""
    for number in range(600):
        state.targets.put(Target(f"t{number:03d}"), origin="file", due_ms=number)
    ticks = []
    for tick in range(7):
        now_ms = NOW_MS + 5000 * tick
        found = state.targets.claim_due(now_ms, 100, cadence_s=cadence)
        ticks.append([each.name for each in found])
        if cadence == ADAPTIVE:
            for name, _ in found:
                spread = phase_of(name) / 2**32
                pace = adaptive(Facts(now_ms, discovery_ms=now_ms, spread=spread))
                state.targets.set_pace(name, pace.every_s, now_ms + round(1000 * pace.seconds))
    assert ticks[:6] == [
        [f"t{100 * tick + each:03d}" for each in range(100)] for tick in range(6)
    ]
    assert ticks[6] == []
    due = [(state.targets.due_ms(name) or 0) - NOW_MS for name in state.targets.names()]
    every_ms = (1800 if cadence != ADAPTIVE else 900) * 1000
    parts = Counter(int(each % every_ms) * 6 // every_ms for each in due)
    assert min(due) > every_ms / 4
    assert max(due) <= 1.5 * every_ms + 30_000
    assert len(parts) == 6
    # A hundred in each on average; by chance up to four sigma more.
    assert max(parts.values()) <= 140


def test_what_is_to_be_read_again_is_kept_until_it_was(state: State) -> None:
    """A range, or everything; removing the target forgets it."""
    wishes = state.backfills
    state.targets.put(Target("a"), origin="file")
    assert wishes.get("a") is None
    wishes.ask("a", Backfill())
    assert wishes.get("a") == Backfill()
    wishes.ask("SN2019np", Backfill(1, 2))
    assert wishes.get("2019np") == Backfill(1, 2)
    wishes.read_again("2019np", Backfill(1, 2), surveys=[], of=["ZTF", "ATLAS"])
    assert wishes.get("2019np") == Backfill(1, 2)
    wishes.read_again("2019np", Backfill(1, 2), surveys=["ZTF"], of=["ZTF", "ATLAS"])
    half = Backfill(1, 2, ("ZTF",))
    assert wishes.get("2019np") == half
    wishes.read_again("2019np", half, surveys=["ATLAS"], of=["ZTF", "ATLAS"])
    assert wishes.get("2019np") is None
    state.targets.remove("a")
    assert wishes.get("a") is None


def test_a_wish_holds_those_before_it_and_outlives_an_older_answer(state: State) -> None:
    """Two ranges are read as one that holds both; a question of before fulfils neither."""
    wishes = state.backfills
    wishes.ask("a", Backfill(5, 9))
    wishes.ask("a", Backfill(1, 2))
    assert wishes.get("a") == Backfill(1, 9)
    wishes.ask("a", Backfill(None, 4))
    assert wishes.get("a") == Backfill(None, 9)
    wishes.read_again("a", Backfill(1, 9), surveys=["ZTF"], of=["ZTF"])
    assert wishes.get("a") == Backfill(None, 9)
    wishes.ask("a", Backfill())
    assert wishes.get("a") == Backfill()


def test_the_adaptive_rule_leaves_due_what_somebody_wanted_meanwhile(state: State) -> None:
    now_ms = state.now_ms()
    state.targets.put(Target("a"), origin="file", due_ms=now_ms - 5)
    state.targets.put_off("a", now_ms + MINUTE_MS, since_ms=now_ms, every_s=600.0)
    assert state.targets.due_ms("a") == now_ms + MINUTE_MS
    state.targets.set_due("a", now_ms)
    state.targets.put_off("a", now_ms + MINUTE_MS, since_ms=now_ms, every_s=900.0)
    assert state.targets.due_ms("a") == now_ms
    assert state.targets.pace_s("a") == 900.0


def test_putting_off_leaves_an_earlier_time_of_its_own(state: State) -> None:
    """What was overdue before is put off; what comes between stays."""
    state.targets.put(Target("a"), origin="file", due_ms=NOW_MS - 1)
    for later, due in ((500, 500), (900, 500), (300, 300)):
        state.targets.put_off("a", NOW_MS + later, since_ms=NOW_MS, until_ms=NOW_MS + later)
        assert state.targets.due_ms("a") == NOW_MS + due
    assert state.targets.pace_s("a") is None
