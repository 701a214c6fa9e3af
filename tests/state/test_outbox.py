"""The outbox: nothing is lost, nothing is sent twice, whatever dies in between."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.state import Claim, OwedRow, State, exposure_field, exposure_fields, scripts

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Curve = Callable[..., Any]
    Until = Callable[[Callable[[], Any]], Any]

LEASE_S = 60.0
BLINK_S = 0.03


def owe(state: State, key: str, points: Any, **options: Any) -> int:
    return state.outbox.owe(
        key,
        points,
        target=options.pop("target", "2019np"),
        gaps=options.pop("gaps", {"ZTF-Cam|r-ZTF": 1000}),
        tolerance_ms=options.pop("tolerance_ms", 16_000),
        **options,
    )


def claimed(state: State, key: str, *, lease_s: float = LEASE_S) -> Claim:
    claim = state.outbox.claim_key(key, lease_s=lease_s, cap=100)
    assert claim is not None
    return claim


def row(state: State, key: str) -> OwedRow:
    found = state.outbox.owed(key)
    assert found is not None
    return found


# ------------------------------------------------------------------ what is owed


def test_points_come_back_as_they_went_in(state: State, curve: Curve) -> None:
    """Every value survives bit for bit, also of a negative subtraction without magnitude."""
    sent = curve([1_546_300_800_123, 1_546_300_839_000], [18.123456789012345, None])
    assert owe(state, "7", sent) == 2
    found = row(state, "7")
    [(target, back)] = found.curves
    assert target == "2019np"
    for column in ("native_id", "time_ms", "band", "mag", "mag_err", "flux", "flux_err"):
        np.testing.assert_array_equal(getattr(back, column), getattr(sent, column))
    assert (back.instrument, back.obs_group) == ("ZTF-Cam", "ZTF")
    assert found.gaps == {"ZTF-Cam|r-ZTF": 1000}
    assert (found.targets, found.tolerance_ms) == (("2019np",), 16_000)
    assert (found.state, found.attempts, found.fence) == ("owed", 0, None)


def test_owing_the_same_again_changes_nothing(state: State, curve: Curve) -> None:
    """A fetch may run twice: an exposure is owed once, and a newer value replaces the old."""
    owe(state, "7", curve([1, 2], [19.0, 19.1]))
    assert owe(state, "7", curve([1, 2], [19.0, 19.1])) == 0
    assert owe(state, "7", curve([2, 3], [19.2, 19.3])) == 2
    [(_, back)] = row(state, "7").curves
    np.testing.assert_allclose(back.mag, [19.0, 19.2, 19.3])
    assert state.outbox.counts() == {
        "due": 1,
        "inflight": 0,
        "settling": 0,
        "refused": 0,
        "points": 3,
    }


def test_gaps_only_shrink_and_tolerances_stay_apart(state: State, curve: Curve) -> None:
    """The smallest gap ever seen counts; two targets of one transient keep their tolerance."""
    owe(state, "7", curve([1]), gaps={"a|r": 50, "a|g": 9})
    owe(state, "7", curve([2]), gaps={"a|r": 80, "a|g": 7}, target="ZTF19a", tolerance_ms=2.5)
    found = row(state, "7")
    assert found.gaps == {"a|r": 50, "a|g": 7}
    assert found.tolerances == {"2019np": 16_000, "ZTF19a": 2.5}
    assert found.tolerance_ms == 2.5
    assert [target for target, _ in found.curves] == ["2019np", "ZTF19a"]


def test_each_instrument_keeps_its_tolerance(state: State, curve: Curve) -> None:
    """A source of exact times does not narrow the window of another instrument's points."""
    owe(state, "7", curve([1]))
    owe(state, "7", curve([2], instrument="ACAM1", obs_group="ATLAS"), tolerance_ms=2.5)
    owe(state, "7", curve([3]), tolerance_ms=15_000)

    found = row(state, "7")

    assert found.tolerance_of("ZTF-Cam") == 15_000
    assert found.tolerance_of("ACAM1") == 2.5
    assert found.tolerance_of("LSSTCam") == found.tolerance_ms
    state.outbox.move("7", "8", fence=0)
    assert row(state, "8").tolerance_of("ACAM1") == 2.5


def test_kinds_and_sources_come_back_as_they_went_in(state: State, curve: Curve) -> None:
    """A limit comes back as a limit, and points of two sources as two light curves."""
    kinds = np.array([2, 1, 0], dtype=np.uint8)
    owe(state, "7", replace(curve([1, 2, 3], [None, 19.0, 19.1]), kind=kinds, source="alerce"))
    owe(state, "7", replace(curve([4]), source="fink"))

    (_, first), (_, second) = row(state, "7").curves

    assert (first.source, first.kind.tolist()) == ("alerce", [2, 1, 0])
    assert (second.source, second.kind.tolist()) == ("fink", [0])


def test_points_that_were_owed_before_kinds_are_detections(state: State, curve: Curve) -> None:
    """A row written before there were kinds is read: detections, of the target's own source."""
    owe(state, "7", curve([1, 2]))
    points = state.outbox._of("7")[1]
    for field, text in state._connection.call("HGETALL", points).items():
        assert not {"kind", "source"} & json.loads(text).keys()
        assert field.startswith("ZTF-Cam|ZTF|")
    state._connection.call("HDEL", state.outbox._of("7")[0], "tolerance:ZTF-Cam")

    found = row(state, "7")

    [(_, back)] = found.curves
    assert (back.source, back.kind.tolist()) == ("", [0, 0])
    assert found.tolerance_of("ZTF-Cam") == 16_000


def test_a_kind_that_nobody_knows_is_left_alone(state: State, curve: Curve) -> None:
    """A point of a later version is not sent as something else; the others go on."""
    owe(state, "7", curve([1, 2]))
    points = state.outbox._of("7")[1]
    field, text = next(iter(state._connection.call("HGETALL", points).items()))
    state._connection.call("HSET", points, field, json.dumps({**json.loads(text), "kind": 7}))

    [(_, back)] = row(state, "7").curves

    assert len(back) == 1


def test_names_with_bars_are_told_apart(state: State, curve: Curve) -> None:
    """Names of instruments are YSE-PZ's, and may hold the character that separates them."""
    owe(state, "7", curve([1], instrument="A|B", obs_group="100%", band="%7C"))
    owe(state, "7", curve([1], instrument="A", obs_group="B|100%", band="%7C"))
    shelves = {(c.instrument, c.obs_group, str(c.band[0])) for _, c in row(state, "7").curves}
    assert shelves == {("A|B", "100%", "%7C"), ("A", "B|100%", "%7C")}


def test_a_point_that_nobody_can_read_is_left_out(
    state: State, curve: Curve, caplog: pytest.LogCaptureFixture
) -> None:
    """One damaged point does not hold up the others of its row."""
    owe(state, "7", curve([1]))
    points = state.outbox._of("7")[1]
    state._connection.call("HSET", points, "ZTF-Cam|ZTF|r-ZTF|5", "{half")
    [(_, back)] = row(state, "7").curves
    assert back.time_ms.tolist() == [1]
    assert "owed point unreadable" in caplog.text


def test_a_row_without_points_can_be_owed(state: State, curve: Curve) -> None:
    """A creation is owed although there is no photometry yet."""
    owe(state, "name:2019np", curve([]))
    claim = claimed(state, "name:2019np")
    assert row(state, "name:2019np").curves == []
    assert state.outbox.finish(*claim, sent=row(state, claim.key), result="done")
    assert state.outbox.owed("name:2019np") is None


# ------------------------------------------------------------------ claims and fences


def test_a_claimed_row_is_claimed_by_nobody_else(state: State, curve: Curve) -> None:
    """One transient never has two uploads in flight."""
    owe(state, "7", curve())
    assert not state.outbox.in_flight("7")
    [claim] = state.outbox.claim(10, lease_s=LEASE_S, cap=10)
    assert state.outbox.in_flight("7")
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=10) is None
    assert row(state, "7").fence == claim.fence


def test_fences_rise_with_every_claim_and_exceed_the_time(state: State, curve: Curve) -> None:
    """A fence is larger than any before it, and than the time in microseconds."""
    before_us = state.now_ms() * 1000
    fences = []
    for number in range(20):
        owe(state, str(number), curve([1]))
        fences.append(claimed(state, str(number)).fence)
    assert fences == sorted(set(fences))
    assert fences[0] >= before_us


def test_a_duplicate_start_is_refused(state: State, curve: Curve) -> None:
    """Of two copies of one message exactly one may send; the next try has the next number."""
    owe(state, "7", curve())
    key, fence = claimed(state, "7")
    start = state.outbox.start
    assert not start(key, fence, 2, lease_s=LEASE_S)
    assert start(key, fence, 1, lease_s=LEASE_S)
    assert not start(key, fence, 1, lease_s=LEASE_S)
    assert not start(key, fence, 3, lease_s=LEASE_S)
    assert start(key, fence, 2, lease_s=LEASE_S)
    assert not start(key, fence + 1, 3, lease_s=LEASE_S)
    assert not start("8", fence, 1, lease_s=LEASE_S)
    assert row(state, "7").started == 2


def test_concurrent_starts_have_one_winner(state: State, curve: Curve) -> None:
    """Also when the copies arrive at the same moment."""
    owe(state, "7", curve())
    key, fence = claimed(state, "7")
    for attempt in (1, 2, 3):
        won: list[bool] = []
        barrier = threading.Barrier(6)

        def run(attempt: int = attempt, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            won.append(state.outbox.start(key, fence, attempt, lease_s=LEASE_S))  # noqa: B023

        _in_threads(run, 6)
        assert Counter(won) == {True: 1, False: 5}


def test_concurrent_claims_never_share_a_key(state: State, curve: Curve) -> None:
    """Many drains and fetches at once: each row goes to one of them."""
    keys = [str(number) for number in range(60)]
    for key in keys:
        owe(state, key, curve([1]))
    taken: list[Claim] = []
    barrier = threading.Barrier(6)

    def drain() -> None:
        barrier.wait()
        while claims := state.outbox.claim(7, lease_s=LEASE_S, cap=1000):
            taken.extend(claims)

    def fetch() -> None:
        barrier.wait()
        for key in keys:
            if claim := state.outbox.claim_key(key, lease_s=LEASE_S, cap=1000):
                taken.append(claim)  # noqa: PERF401

    _in_threads(drain, 3, fetch, 3)
    assert sorted(claim.key for claim in taken) == sorted(keys)
    assert len({claim.fence for claim in taken}) == len(keys)


def test_no_more_are_in_flight_than_allowed(state: State, curve: Curve) -> None:
    """YSE-PZ is fragile: the cap is over all processes."""
    for number in range(5):
        owe(state, str(number), curve([1]))
    first = state.outbox.claim(10, lease_s=LEASE_S, cap=2)
    assert len(first) == 2
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=2) == []
    assert state.outbox.claim_key("4", lease_s=LEASE_S, cap=2) is None
    assert state.outbox.release(*first[0])
    assert len(state.outbox.claim(10, lease_s=LEASE_S, cap=2)) == 1
    assert state.outbox.claim(0, lease_s=LEASE_S, cap=9) == []


def test_a_row_is_not_claimed_before_its_time(state: State, curve: Curve) -> None:
    """A wait is a wait; a person may cut it short, but never the waits of settling."""
    later = state.now_ms() + 60_000
    owe(state, "7", curve([1]), due_ms=later)
    owe(state, "7", curve([2]))
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=10) is None
    claim = state.outbox.claim_key("7", lease_s=LEASE_S, cap=10, early=True)
    assert claim is not None
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    assert state.outbox.finish(
        *claim, sent=row(state, "7"), result="settling", due_ms=later, settle={"stage": "wait"}
    )
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=10, early=True) is None


def test_nothing_is_claimed_while_held(state: State, curve: Curve) -> None:
    """A person's hold stops every claim until it is lifted."""
    owe(state, "7", curve())
    state.outbox.hold("YSE-PZ is being moved")
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert state.outbox.held() == "YSE-PZ is being moved"
    assert state.outbox.unhold()
    assert not state.outbox.unhold()
    assert len(state.outbox.claim(10, lease_s=LEASE_S, cap=10)) == 1


def test_a_claim_that_cannot_be_used_is_given_back(state: State, curve: Curve) -> None:
    """A hint that could not be sent costs no lease; one that was started is not given back."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    assert not state.outbox.release("7", claim.fence + 1)
    assert state.outbox.release(*claim)
    assert not state.outbox.start(*claim, 1, lease_s=LEASE_S)
    again = claimed(state, "7")
    assert state.outbox.start(*again, 1, lease_s=LEASE_S)
    assert not state.outbox.release(*again)


# ------------------------------------------------------------------ leases that end


def test_an_expired_lease_without_start_goes_back_at_once(
    state: State, curve: Curve, until: Until
) -> None:
    """Nothing was sent: the row is due, and the late message is refused from then on."""
    owe(state, "7", curve())
    old = claimed(state, "7", lease_s=BLINK_S)
    until(lambda: not state.outbox.in_flight("7"))
    assert not state.outbox.start(*old, 1, lease_s=LEASE_S)
    [new] = state.outbox.claim(10, lease_s=LEASE_S, cap=10)
    assert row(state, "7").state == "owed"
    assert new.fence > old.fence
    assert not state.outbox.start(*old, 1, lease_s=LEASE_S)
    assert not state.outbox.renew(*old, lease_s=LEASE_S)
    assert not state.outbox.finish(*old, sent=row(state, "7"), result="done")
    assert state.outbox.start(*new, 1, lease_s=LEASE_S)


def test_an_expired_lease_after_start_settles(state: State, curve: Curve, until: Until) -> None:
    """Something may have been sent: nothing is sent again before YSE-PZ was read back."""
    owe(state, "7", curve())
    old = claimed(state, "7")
    assert state.outbox.start(*old, 1, lease_s=BLINK_S)
    until(lambda: state.outbox.sweep() == 1)
    found = row(state, "7")
    assert (found.state, found.settle, found.fence) == ("settling", {"stage": "ping"}, None)
    assert found.reason
    assert state.outbox.counts()["settling"] == 1
    assert not state.outbox.finish(*old, sent=found, result="done")
    new = claimed(state, "7")
    assert row(state, "7").settle == {"stage": "ping"}
    assert state.outbox.start(*new, 1, lease_s=LEASE_S)
    assert state.outbox.finish(*new, sent=row(state, "7"), result="done")
    assert state.outbox.counts() == dict.fromkeys(
        ("due", "inflight", "settling", "refused", "points"), 0
    )


def test_a_renewed_lease_lasts(state: State, curve: Curve, until: Until) -> None:
    """Who renews in time keeps the row; who is late has lost it."""
    owe(state, "7", curve())
    claim = claimed(state, "7", lease_s=LEASE_S)
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    [first] = state.outbox.rows(1)
    assert first.at_ms is not None
    granted_ms = first.at_ms - LEASE_S * 1000
    until(lambda: state.now_ms() > granted_ms)
    assert state.outbox.renew(*claim, lease_s=LEASE_S)
    [renewed] = state.outbox.rows(1)
    assert renewed.at_ms is not None
    assert renewed.at_ms > first.at_ms
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert state.outbox.renew(*claim, lease_s=BLINK_S)
    until(lambda: not state.outbox.in_flight("7"))
    assert not state.outbox.renew(*claim, lease_s=LEASE_S)
    assert not state.outbox.start(*claim, 2, lease_s=LEASE_S)


# ------------------------------------------------------------------ ends of a claim


def test_a_row_goes_when_everything_was_delivered(state: State, curve: Curve) -> None:
    """Done means nothing is owed any more, and nothing is left behind in Redis."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    assert state.outbox.finish(*claim, sent=row(state, "7"), result="done")
    assert state.outbox.owed("7") is None
    assert state.outbox.rows(10) == []
    left = state._connection.call("KEYS", state._keys("outbox", "*"))
    assert left == []


def test_only_the_version_that_was_sent_is_removed(state: State, curve: Curve) -> None:
    """A correction that arrives during the upload stays owed, and so does a new point."""
    owe(state, "7", curve([1, 2], [19.0, 19.0]))
    claim = claimed(state, "7")
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    sent = row(state, "7")
    assert owe(state, "7", curve([2, 3], [18.5, 18.7])) == 2
    assert state.outbox.claim_key("7", lease_s=LEASE_S, cap=10) is None
    assert state.outbox.finish(*claim, sent=sent, result="done")
    [(_, left)] = row(state, "7").curves
    assert left.time_ms.tolist() == [2, 3]
    np.testing.assert_allclose(left.mag, [18.5, 18.7])
    assert len(state.outbox.claim(10, lease_s=LEASE_S, cap=10)) == 1


def test_a_row_that_is_not_done_waits_with_its_reason(state: State, curve: Curve) -> None:
    """What was delivered goes, the rest is tried later; failures are counted."""
    points = curve([1, 2, 3])
    owe(state, "7", points)
    claim = claimed(state, "7")
    later = state.now_ms() + 60_000
    assert state.outbox.finish(
        *claim,
        sent=row(state, "7"),
        result="later",
        due_ms=later,
        reason="YSE-PZ: 503",
        attempts_delta=1,
        drop_fields=[*exposure_fields(points)[:2], "nobody|knows|this|1"],
    )
    found = row(state, "7")
    assert list(found.versions) == [exposure_field("ZTF-Cam", "ZTF", "r-ZTF", 3)]
    assert len(found) == 1
    assert (found.attempts, found.reason, found.state) == (1, "YSE-PZ: 503", "owed")
    [summary] = state.outbox.rows(10)
    assert (summary.place, summary.at_ms, summary.points) == ("due", later, 1)
    assert (summary.targets, summary.reason) == (("2019np",), "YSE-PZ: 503")
    again = state.outbox.claim_key("7", lease_s=LEASE_S, cap=10, early=True)
    assert again is not None
    assert state.outbox.finish(*again, sent=found, result="later", attempts_reset=True)
    assert row(state, "7").attempts == 0
    assert row(state, "7").reason is None


def test_settling_keeps_its_stage_and_takes_no_worker(state: State, curve: Curve) -> None:
    """An ambiguous outcome waits in the outbox, with what was found so far."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    stage = {"stage": "compare", "digest": "ab", "seconds": 2.5}
    assert state.outbox.finish(
        *claim, sent=row(state, "7"), result="settling", settle=stage, reason="time-out"
    )
    found = row(state, "7")
    assert (found.state, found.settle, len(found)) == ("settling", stage, 3)
    counts = state.outbox.counts()
    assert (counts["settling"], counts["inflight"], counts["due"]) == (1, 0, 1)
    [summary] = state.outbox.rows(10)
    assert summary.settling
    assert summary.settle == stage
    again = claimed(state, "7")
    assert state.outbox.finish(*again, sent=found, result="later")
    assert row(state, "7").state == "owed"
    assert row(state, "7").settle is None


def test_a_refused_row_waits_for_something_new(state: State, curve: Curve) -> None:
    """The same points are not sent again; new ones, or a person, bring the row back."""
    owe(state, "7", curve([1, 2]))
    assert _refuse(state, "7")
    assert owe(state, "7", curve([1, 2])) == 0
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert (row(state, "7").state, row(state, "7").reason) == ("refused", "no such band")
    assert state.outbox.counts()["refused"] == 1
    assert state.outbox.sweep() == 0
    assert [summary.place for summary in state.outbox.rows(10)] == ["refused"]

    owe(state, "7", curve([3]))
    assert _refuse(state, "7")
    assert state.outbox.release_refused("7")
    assert not state.outbox.release_refused("7")
    assert row(state, "7").reason is None
    assert claimed(state, "7")


def test_what_was_unclear_stays_so_while_a_row_is_refused(state: State, curve: Curve) -> None:
    """A refusal in the middle of settling is not the end of it: it goes on where it stood."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    stage = {"stage": "compare", "digest": "ab"}
    sent = row(state, "7")
    assert state.outbox.finish(*claim, sent=sent, result="refused", reason="no", settle=stage)
    found = row(state, "7")
    assert (found.state, found.reason, found.settle) == ("refused", "no", stage)
    [summary] = state.outbox.rows(10)
    assert summary.place == "refused"

    assert state.outbox.release_refused("7")
    found = row(state, "7")
    assert (found.state, found.settle) == ("settling", stage)
    claim = claimed(state, "7")
    assert state.outbox.finish(*claim, sent=found, result="refused", reason="no")
    assert row(state, "7").settle is None


def test_points_that_come_during_a_refused_upload_are_new(state: State, curve: Curve) -> None:
    """They were not part of what was refused."""
    owe(state, "7", curve([1]))
    claim = claimed(state, "7")
    sent = row(state, "7")
    owe(state, "7", curve([2]))
    assert state.outbox.finish(*claim, sent=sent, result="refused", reason="no")
    assert row(state, "7").state == "owed"
    assert claimed(state, "7")


def _refuse(state: State, key: str) -> bool:
    claim = claimed(state, key)
    return state.outbox.finish(
        *claim, sent=row(state, key), result="refused", reason="no such band", attempts_delta=1
    )


def test_a_created_target_hands_its_points_to_its_id(state: State, curve: Curve) -> None:
    """What was owed to a name is owed to the id, merged with what that is owed already."""
    owe(state, "name:2019np", curve([1, 2]), gaps={"a|r": 5})
    owe(state, "42", curve([2, 3], [18.0, 18.0]), gaps={"a|r": 9}, target="other")
    claim = claimed(state, "name:2019np")
    assert state.outbox.start(*claim, 1, lease_s=LEASE_S)
    assert not state.outbox.move("name:2019np", "42")
    assert not state.outbox.move("name:2019np", "42", fence=claim.fence - 1)
    assert state.outbox.move("name:2019np", "42", fence=claim.fence)
    assert not state.outbox.move("name:2019np", "42", fence=claim.fence)
    assert state.outbox.owed("name:2019np") is None
    assert not state.outbox.renew(*claim, lease_s=LEASE_S)
    found = row(state, "42")
    assert found.targets == ("2019np", "other")
    assert found.gaps == {"a|r": 5}
    assert sorted(found.versions) == [
        exposure_field("ZTF-Cam", "ZTF", "r-ZTF", time_ms) for time_ms in (1, 2, 3)
    ]
    assert state.outbox.counts()["due"] == 1
    assert state.outbox.counts()["inflight"] == 0
    assert claimed(state, "42")


def test_a_row_can_be_forgotten_but_not_in_flight(state: State, curve: Curve) -> None:
    """A person may drop what is owed, never under the hands of an upload."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    assert not state.outbox.drop("7")
    assert state.outbox.release(*claim)
    assert state.outbox.drop("7")
    assert not state.outbox.drop("7")
    assert state.outbox.counts()["points"] == 0


def test_the_sweep_finds_rows_that_are_nowhere(state: State, curve: Curve) -> None:
    """A row that fell out of every queue is due again."""
    owe(state, "7", curve())
    state._connection.call("ZREM", state._keys("outbox", "due"), "7")
    assert [summary.place for summary in state.outbox.rows(10)] == ["nowhere"]
    assert state.outbox.sweep() == 1
    assert state.outbox.sweep() == 0
    assert claimed(state, "7")


def test_a_sweep_that_looked_too_early_changes_nothing(state: State, curve: Curve) -> None:
    """Between looking and acting a row may have been claimed: it stays where it is."""
    owe(state, "7", curve())
    claim = claimed(state, "7")
    places = [state._keys("outbox", name) for name in ("rows", "due", "inflight", "refused")]
    assert state._connection.run(scripts.RESTORE_LOST, keys=places, args=["7", "gone"]) == 0
    assert state.outbox.counts()["due"] == 0
    assert state.outbox.renew(*claim, lease_s=LEASE_S)


def test_a_hint_of_a_vanished_row_is_cleared(state: State, curve: Curve) -> None:
    """An entry without a row is no work, and does not stay."""
    owe(state, "7", curve())
    state._connection.call("DEL", *state.outbox._of("7"))
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    assert state.outbox.counts()["due"] == 0


# ------------------------------------------------------------------ the breaker


def test_the_breaker_lets_one_probe_through(state: State, curve: Curve) -> None:
    """While YSE-PZ is down one upload at a time asks; an answer opens the way for all."""
    for number in range(6):
        owe(state, str(number), curve([1]))
    for _ in range(4):
        state.outbox.record(ok=False)
    assert not state.outbox.breaker()["open"]
    state.outbox.record(ok=False)
    assert state.outbox.breaker()["open"]
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []

    _let_the_interval_pass(state)
    [probe] = state.outbox.claim(10, lease_s=LEASE_S, cap=10)
    assert state.outbox.claim(10, lease_s=LEASE_S, cap=10) == []
    state.outbox.record(ok=False)
    longer = state.outbox.breaker()
    assert longer["interval_ms"] == 10_000
    # A straggler that was in flight before: no second step.
    state.outbox.record(ok=False)
    assert state.outbox.breaker() == longer
    assert state.outbox.release(*probe)

    _let_the_interval_pass(state)
    assert len(state.outbox.claim(10, lease_s=LEASE_S, cap=10)) == 1
    state.outbox.record(ok=True)
    assert not state.outbox.breaker()["open"]
    assert len(state.outbox.claim(10, lease_s=LEASE_S, cap=10)) == 5


def test_a_success_in_between_keeps_the_breaker_closed(state: State) -> None:
    """Only failures in a row count."""
    for ok in (False, False, False, False, True, False):
        state.outbox.record(ok=ok)
    assert state.outbox.breaker()["failures"] == 1
    assert not state.outbox.breaker()["open"]


def test_the_wait_between_probes_has_a_ceiling(state: State, curve: Curve) -> None:
    """After hours of outage YSE-PZ is still asked every five minutes."""
    owe(state, "7", curve())
    for _ in range(5):
        state.outbox.record(ok=False)
    for _ in range(9):
        _let_the_interval_pass(state)
        [probe] = state.outbox.claim(1, lease_s=LEASE_S, cap=10)
        state.outbox.record(ok=False)
        assert state.outbox.release(*probe)
    assert state.outbox.breaker()["interval_ms"] == 300_000


def _let_the_interval_pass(state: State) -> None:
    state._connection.call("HSET", state._keys("outbox", "breaker"), "next_ms", 0)


def _in_threads(*work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [
        threading.Thread(target=guarded, args=(run,))
        for run, count in zip(work[::2], work[1::2], strict=True)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ------------------------------------------------------------------ what is owed in all


def test_what_is_owed_for_too_long_is_counted_and_the_oldest_named(
    state: State, curve: Curve
) -> None:
    """As the rows themselves say; a row without points is owed nothing."""
    before = [owe(state, str(number), curve([1, 2], [19.0, 19.1])) for number in range(2100)]
    owe(state, "empty", curve([], []))
    middle_ms = state.now_ms() + 1
    while state.now_ms() <= middle_ms:
        pass
    owe(state, "late", curve([3], [19.0]), target="2020xyz")
    found = state.outbox.standing(middle_ms, named=3)
    assert sum(before) == found.late_points == 4200
    assert (found.transients, found.points, found.late_transients) == (2102, 4201, 2100)
    rows = sorted(state.outbox.rows(5000), key=lambda one: one.since_ms)
    assert [one.since_ms for one in found.oldest] == [one.since_ms for one in rows[:3]]
    assert all(one.targets == ("2019np",) for one in found.oldest)
    everything = state.outbox.standing(state.now_ms() + 1000, named=5000)
    assert {one.key for one in everything.oldest} == {one.key for one in rows} - {"empty"}
    assert state.outbox.standing(0, named=3).oldest == ()
