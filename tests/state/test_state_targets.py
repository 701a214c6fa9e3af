"""Targets: who is followed, and when each is due."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yse_ingest.state.targets import target_from_json, target_to_json
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.state.conftest import Connect
    from yse_ingest.state import State

CADENCE_S = 1800.0
NOW_MS = 1_790_000_000_000


def test_a_target_comes_back_as_it_was(state: State) -> None:
    """Every field survives, and the name is found in any spelling."""
    target = Target(
        "SN 2019np",
        ra=157.3415,
        dec=29.5106667,
        object_id="ZTF19aacgslb",
        since="2019-01-01",
        source="alerce",
        cadence_s=600.0,
        creation={"status": "Following", "tags": ["a", "b"]},
        overrides={"clobber": True},
    )
    assert state.targets.put(target, origin="adhoc")
    assert not state.targets.put(target, origin="adhoc")
    for spelling in ("2019np", "SN2019np", "AT 2019np"):
        assert state.targets.get(spelling) == target
    assert state.targets.get("2019nq") is None
    assert state.targets.all() == [(target, "adhoc")]
    assert state.targets.names() == ["2019np"]
    assert state.targets.count() == 1
    assert state.targets.put(target.at(1.0, 2.0), origin="adhoc")


def test_fields_of_a_newer_version_are_ignored() -> None:
    """An older program still reads the targets of a newer one."""
    values = {**target_to_json(Target("2019np")), "moon_distance": 3}
    assert target_from_json(values) == Target("2019np")


def test_a_new_target_is_due_at_once_and_a_known_one_when_it_was(state: State) -> None:
    """Putting a target again does not ask again, unless that is wanted."""
    before = state.now_ms()
    state.targets.put(Target("a"), origin="file")
    due = state.targets.due_ms("a")
    assert due is not None
    assert before <= due <= state.now_ms()
    state.targets.set_due("a", NOW_MS)
    state.targets.put(Target("a", ra=1.0, dec=1.0), origin="file")
    assert state.targets.due_ms("a") == NOW_MS
    state.targets.put(Target("a"), origin="file", due_ms=5)
    assert state.targets.due_ms("a") == 5
    state.targets.set_due("nobody", 5)
    assert state.targets.due_ms("nobody") is None


def test_a_due_target_is_claimed_once(state: State) -> None:
    """A second beat, or a doubled tick, finds nothing; each goes with its source."""
    state.targets.put(Target("a", source="alerce"), origin="file", due_ms=1)
    state.targets.put(Target("b"), origin="file", due_ms=2)
    state.targets.put(Target("c"), origin="file", due_ms=NOW_MS + 1)
    assert state.targets.due(NOW_MS, 10) == ["a", "b"]
    assert state.targets.claim_due(NOW_MS, 1, cadence_s=CADENCE_S) == [("a", "alerce")]
    assert state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S) == [("b", "")]
    assert state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S) == []


def test_concurrent_beats_share_the_targets(state: State) -> None:
    """However many ticks run at once, each target goes to one of them."""
    names = [f"t{number}" for number in range(100)]
    for name in names:
        state.targets.put(Target(name), origin="file", due_ms=1)
    taken: list[str] = []
    barrier = threading.Barrier(4)

    def tick() -> None:
        barrier.wait()
        while claimed := state.targets.claim_due(NOW_MS, 9, cadence_s=CADENCE_S):
            taken.extend(name for name, _ in claimed)

    threads = [threading.Thread(target=tick) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    now_ms=st.integers(1_500_000_000_000, 2_500_000_000_000),
    cadence_s=st.floats(1, 5e5),
    own=st.one_of(st.none(), st.floats(1, 5e5)),
)
def test_the_next_time_is_ahead_and_on_the_targets_own_grid(
    state: State, now_ms: int, cadence_s: float, own: float | None
) -> None:
    """Never in the past, not too soon, and always at the same phase: the load stays flat."""
    state.targets.put(Target("a", cadence_s=own), origin="file", due_ms=1)
    assert state.targets.claim_due(now_ms, 10, cadence_s=cadence_s)
    cadence_ms = max(1, round((own or cadence_s) * 1000))
    first = state.targets.due_ms("a")
    assert first is not None
    assert cadence_ms / 4 - 1 < first - now_ms <= 1.25 * cadence_ms + 1
    assert state.targets.claim_due(first, 10, cadence_s=cadence_s)
    assert state.targets.due_ms("a") == first + cadence_ms


def test_the_load_is_spread_over_the_cadence(state: State) -> None:
    """Targets that were due at one moment are not due together again."""
    for number in range(200):
        state.targets.put(Target(f"t{number}"), origin="file", due_ms=1)
    state.targets.claim_due(NOW_MS, 1000, cadence_s=CADENCE_S)
    sixths = [0] * 6
    for name in state.targets.names():
        due = state.targets.due_ms(name)
        assert due is not None
        sixths[int((due - NOW_MS) % (CADENCE_S * 1000) // 300_000)] += 1
    assert min(sixths) > 15


def test_a_cadence_set_by_a_person_holds(state: State) -> None:
    """It goes before the target's own and the default, until it is taken back."""
    state.targets.put(Target("a", cadence_s=100.0), origin="file", due_ms=1)
    state.targets.set_cadence("a", 7200.0)
    found = state.targets.get("a")
    assert found is not None
    assert found.cadence_s == 7200.0
    assert state.targets.cadences() == {"a": 7200.0}
    state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S)
    due = state.targets.due_ms("a")
    assert due is not None
    assert due > NOW_MS + 1_800_000 - 1
    state.targets.set_cadence("a", None)
    assert state.targets.get("a") == Target("a", cadence_s=100.0)


def test_a_paused_target_is_not_asked_about(state: State) -> None:
    """Pausing keeps the target and says why; resuming asks at once."""
    state.targets.put(Target("2019np"), origin="adhoc", due_ms=1)
    state.targets.pause("SN2019np", "two uploads at once")
    assert state.targets.paused() == {"2019np": "two uploads at once"}
    assert state.targets.due(NOW_MS, 10) == []
    assert state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S) == []
    assert state.targets.resume("2019np")
    assert not state.targets.resume("2019np")
    assert state.targets.due(state.now_ms(), 10) == ["2019np"]


def test_a_removed_target_is_gone(state: State) -> None:
    """With what was noted about it."""
    state.targets.put(Target("a"), origin="adhoc", due_ms=1)
    state.targets.pause("a", "why")
    state.targets.set_cadence("a", 5)
    state.clocks.record("a", "mars", asked_ms=1, status="ok", answered_ms=2)
    state.resolutions.put("a", {"pk": 7})
    state.quarantine.put("a", [{"native_id": "1", "reason": "x"}])
    assert state.targets.remove("a")
    assert not state.targets.remove("a")
    assert state._connection.call("KEYS", f"yse_ingest:{state.namespace}:*:a*") == []
    assert state.targets.count() == 0
    assert state.targets.paused() == {}
    assert state.quarantine.list() == []
    assert state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S) == []


def test_the_file_says_who_is_followed(state: State) -> None:
    """Who left it is paused, not forgotten; who is back goes on; ad-hoc targets stay."""
    state.targets.put(Target("adhoc"), origin="adhoc")
    first = state.targets.sync_file([Target("a"), Target("b")])
    assert (first.changed, first.gone, first.back) == (["a", "b"], [], [])
    assert state.targets.sync_file([Target("a"), Target("b")]) == ([], [], [])
    second = state.targets.sync_file([Target("b", cadence_s=5.0)])
    assert (second.changed, second.gone) == (["b"], ["a"])
    assert list(state.targets.paused()) == ["a"]
    assert state.targets.sync_file([Target("b", cadence_s=5.0)]).gone == []
    third = state.targets.sync_file([Target("a"), Target("b", cadence_s=5.0)])
    assert third.back == ["a"]
    assert state.targets.paused() == {}
    assert state.targets.names() == ["a", "adhoc", "b"]


def test_a_pause_by_a_person_outlives_the_file(state: State) -> None:
    """Reading the file again does not undo what a person decided."""
    state.targets.sync_file([Target("a")])
    state.targets.pause("a", "wrong host")
    state.targets.sync_file([])
    state.targets.sync_file([Target("a")])
    assert state.targets.paused() == {"a": "wrong host"}


def test_a_fetch_whose_message_was_lost_is_due_again(
    state: State, until: Callable[[Callable[[], object]], None]
) -> None:
    """A target that was claimed and never asked about comes back; one that was asked stays."""
    for name in ("lost", "asked"):
        state.targets.put(Target(name), origin="file", due_ms=1)
    state.targets.claim_due(state.now_ms(), 10, cadence_s=CADENCE_S)
    state.clocks.record("asked", "mars", asked_ms=1, status="error", error="no route")
    assert state.targets.sweep() == 0
    until(lambda: state.targets.sweep(older_than_s=0.01))
    assert state.targets.due(state.now_ms(), 10) == ["lost"]
    assert state.targets.sweep(older_than_s=0.0) == 0


def test_an_entry_without_a_record_is_cleared(state: State) -> None:
    """A due time of nobody is dropped when it is met."""
    state._connection.call("ZADD", state._keys("targets", "due"), 1, "ghost")
    assert state.targets.claim_due(NOW_MS, 10, cadence_s=CADENCE_S) == []
    assert state.targets.due_ms("ghost") is None


def test_many_targets_are_put_in_one_go(state: State) -> None:
    """More than one script takes: only what is new or changed is told, and written once."""
    many = [Target(f"t{number}", ra=1.0, dec=2.0) for number in range(2500)]
    assert state.targets.put_many(many, origin="adhoc") == [target.name for target in many]
    assert state.targets.put_many(many, origin="adhoc") == []
    assert state.targets.put_many([*many, many[7].at(3.0, 4.0)], origin="adhoc") == ["t7"]
    assert state.targets.get("t7") == many[7].at(3.0, 4.0)
    assert state.targets.count() == len(state.targets.added_ms()) == 2500
    known = state.targets.many(["t9", "nobody", "t1"])
    assert known == [(many[9], "adhoc"), (many[1], "adhoc")]


def test_many_decisions_are_one_write(connect: Connect, tmp_path: Path) -> None:
    """Each is a line of its own, numbered on; an emptied Redis is given them all again."""
    file = tmp_path / "decisions.jsonl"
    state = connect(decisions=file)
    state.targets.pause("t3", "before")
    many = [Target(f"t{number}", cadence_s=60.0) for number in range(1500)]
    state.targets.put_many(many, origin="adhoc")
    state.targets.remove("t5")
    numbers = [decision.seq for decision in state.decisions.entries()]
    assert numbers == list(range(1, 1504))
    state._connection.call("FLUSHDB")
    again = connect(decisions=file)
    assert again.targets.count() == 1499
    assert again.targets.get("t7") == many[7]
    assert again.targets.get("t5") is None
    assert again.targets.paused() == {"t3": "before"}


def test_a_file_of_many_leaves_and_comes_back(state: State) -> None:
    """More targets than one request takes are paused, and go on."""
    many = [Target(f"t{number}") for number in range(2500)]
    assert len(state.targets.sync_file(many).changed) == 2500
    assert len(state.targets.sync_file(many[:10]).gone) == 2490
    assert state.targets.count_paused() == 2490
    assert len(state.targets.due(state.now_ms(), 100)) < 100
    back = state.targets.sync_file(many)
    assert (len(back.changed), len(back.back), state.targets.count_paused()) == (0, 2490, 0)
