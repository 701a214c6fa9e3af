"""Ledgers, look-ups, leases, quarantine, receipts and clocks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.ledger import Ledger
from yse_ingest.state.clocks import Clock
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.state import State

    Curve = Callable[..., Any]
    Until = Callable[[Callable[[], Any]], Any]


def damaged(whole: bytes, how: str) -> bytes:
    """Return bytes as a power cut, a bad disk or another program leaves them."""
    middle = len(whole) // 2
    return {
        "cut": whole[:middle],
        "glued": whole + b"\0",
        "a bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "another format": b"\xff" + whole[1:],
        "empty": b"",
        "text": b"{}",
    }[how]


# ------------------------------------------------------------------ ledgers


@pytest.fixture
def ledger(curve: Curve) -> Ledger:
    """Return a ledger of four points on two shelves."""
    return (
        Ledger.empty(gaps={"ZTF-Cam|r-ZTF": 1000})
        .with_sent(curve([1_000, 2_000, 3_000]))
        .with_sent(curve([1_500], band="g-ZTF"))
    )


def test_a_ledger_comes_back_as_it_was(state: State, ledger: Ledger) -> None:
    """Points, shelves and gaps; name and slug are to be had without the points."""
    state.ledgers.put(7, ledger, name="2019np", slug="2019np-1")
    found = state.ledgers.get(7)
    assert found is not None
    for column in ("time_ms", "slot", "flags", "pk", "value_hash"):
        np.testing.assert_array_equal(getattr(found, column), getattr(ledger, column))
    assert (found.slots, found.gaps) == (ledger.slots, ledger.gaps)
    assert found.read_back_ms == 0
    assert state.ledgers.about(7) == {
        "name": "2019np",
        "slug": "2019np-1",
        "gaps": {"ZTF-Cam|r-ZTF": 1000},
        "read_back_ms": 0,
    }
    assert state.ledgers.get(8) is None
    assert state.ledgers.about(8) is None
    state.ledgers.drop(7)
    assert state.ledgers.get(7) is None
    assert state.ledgers.count() == 0


def test_a_point_costs_ten_bytes(state: State, curve: Curve) -> None:
    """Twelve at most with all that is said of the transient: its hash alone is four."""
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(1_546_300_800_000, 1_609_459_200_000, 33))
    mags = rng.uniform(17, 20, 33).tolist()
    ledger = Ledger.empty(gaps={"ZTF-Cam|r-ZTF": 85_868_001}).with_sent(curve(times, mags))
    ledger = replace(ledger, pk=np.arange(5_001, 5_034, dtype=np.uint32))
    state.ledgers.put(7, ledger, name="ZTF19aapreis", slug="ztf19aapreis")
    size = state._connection.call("HSTRLEN", state._keys("ledger"), 7)
    assert size <= 12 * 33
    assert len(ledger.pack()) == 16 * 33


@pytest.mark.parametrize("how", ["cut", "glued", "a bit", "another format", "empty", "text"])
def test_a_damaged_ledger_is_missing(
    state: State, ledger: Ledger, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is derived anew from YSE-PZ; nothing is decided on damaged bytes."""
    for looks in (state.ledgers.get, state.ledgers.holds):
        state.ledgers.put(7, ledger, name="a", slug="a")
        assert state.ledgers.holds(7)
        key = state._keys("ledger")
        whole = state._connection.call("HGET", key, 7, binary=True)
        state._connection.call("HSET", key, 7, damaged(whole, how))
        assert state.ledgers.about(7) is None
        assert not looks(7)
        assert "ledger damaged" in caplog.text
        assert state._connection.call("HEXISTS", key, 7) == 0
        assert state.ledgers.count() == 0
        caplog.clear()


def test_the_oldest_proof_comes_first(state: State, ledger: Ledger, curve: Curve) -> None:
    """The audit takes what was read back longest ago."""
    for transient_id, read_back_ms in ((7, 300), (8, 100), (9, 200)):
        aged = Ledger.unpack(
            ledger.pack(), slots=ledger.slots, gaps={}, read_back_ms=read_back_ms
        )
        state.ledgers.put(transient_id, aged, name="a", slug="a")
    assert state.ledgers.oldest(2) == [(8, 100), (9, 200)]
    assert state.ledgers.drop_all() == 3
    assert state.ledgers.oldest(2) == []


# ------------------------------------------------------------------ look-ups


def test_a_look_up_is_believed_for_a_while(state: State, until: Until) -> None:
    """Names change in YSE-PZ: it is asked again after some days."""
    state.resolutions.put("SN2019np", {"pk": 7, "tags": ["a"]})
    assert state.resolutions.get("2019np") == {"pk": 7, "tags": ["a"]}
    state.resolutions.put("2019np", {"pk": 8}, keep_s=0.02)
    until(lambda: state.resolutions.get("2019np") is None)
    state.resolutions.put("2019np", {"pk": 9})
    state.resolutions.drop("2019np")
    assert state.resolutions.get("2019np") is None


# ------------------------------------------------------------------ leases


def test_a_lease_has_one_holder(state: State, until: Until) -> None:
    """It ends by itself, and its old holder cannot end the new one's."""
    old = state.leases.take("create", 0.4)
    assert old is not None
    assert state.leases.take("create", 60) is None
    assert state.leases.take("other", 60) is not None
    new = until(lambda: state.leases.take("create", 60))
    assert new > old
    assert not state.leases.release("create", old)
    assert not state.leases.renew("create", old, lease_s=60)
    assert state.leases.renew("create", new, lease_s=60)
    assert state.leases.release("create", new)
    assert state.leases.take("create", 60) is not None


# ------------------------------------------------------------------ quarantine


def test_a_refused_row_is_kept_once_per_reason(state: State) -> None:
    """It comes with every fetch, and is shown once, with all that explains it."""
    row = {
        "native_id": 10**17,
        "field": "magpsf",
        "value": float("nan"),
        "reason": "not a number",
        "source": "mars",
        "raw": {"candid": "x" * 2000},
    }
    assert state.quarantine.put("SN2019np", [row, row]) == 1
    assert state.quarantine.put("2019np", [row]) == 0
    assert state.quarantine.put("2019np", [{**row, "reason": "twin"}]) == 1
    assert state.quarantine.put("2019np", []) == 0
    assert state.quarantine.known("2019np") == {str(10**17)}
    found = state.quarantine.explain("2019np", str(10**17))
    assert [each["reason"] for each in found] == ["not a number", "twin"]
    assert found[0]["target"] == "2019np"
    assert found[0]["value"] == "NaN"
    assert len(found[0]["raw"]) == 500
    assert found[0]["at_ms"] <= state.now_ms()


def test_rows_without_an_id_are_told_apart_by_their_text(state: State) -> None:
    """A row so bad that it has no id is still a row of its own."""
    rows = [{"native_id": None, "reason": "no candid", "raw": text} for text in ("a", "b", "a")]
    assert state.quarantine.put("2019np", rows) == 2
    assert state.quarantine.known("2019np") == set()


def test_the_quarantine_of_a_target_is_bounded(state: State) -> None:
    """A source gone mad fills no memory: the oldest rows go."""
    for start in (0, 400):
        rows = [{"native_id": str(start + i), "reason": "x"} for i in range(400)]
        assert state.quarantine.put("2019np", rows) == 400
    kept = state.quarantine.list("2019np")
    assert len(kept) == 500
    assert {str(number) for number in range(400, 800)} <= state.quarantine.known("2019np")


def test_the_quarantine_is_listed_by_target_and_cleared(state: State) -> None:
    """All of it, or that of one target."""
    state.quarantine.put("b", [{"native_id": "1", "reason": "x"}])
    state.quarantine.put("a", [{"native_id": "2", "reason": "x"}])
    assert [row["target"] for row in state.quarantine.list()] == ["a", "b"]
    assert [row["native_id"] for row in state.quarantine.list("b")] == ["1"]
    assert state.quarantine.clear("b") == 1
    assert state.quarantine.clear("b") == 0
    assert [row["target"] for row in state.quarantine.list()] == ["a"]


def test_a_person_can_reject_a_row_for_good(state: State) -> None:
    """And change their mind."""
    state.quarantine.reject("SN2019np", "17", "satellite")
    assert state.quarantine.rejected("2019np") == {"17": "satellite"}
    assert state.quarantine.rejections() == {"2019np": {"17": "satellite"}}
    assert state.quarantine.accept("2019np", "17")
    assert not state.quarantine.accept("2019np", "17")
    assert state.quarantine.rejections() == {}


# ------------------------------------------------------------------ receipts and clocks


def test_the_last_receipts_stay(state: State) -> None:
    """Twenty per transient, newest first."""
    assert state.receipts.last("7") is None
    for number in range(25):
        state.receipts.put("7", {"sent": number})
    assert state.receipts.last("7") == {"sent": 24}
    assert [receipt["sent"] for receipt in state.receipts.list("7")] == list(range(24, 4, -1))
    assert state.receipts.list("8") == []


def test_three_kinds_of_silence(state: State) -> None:
    """Never asked, asked without an answer, and answered with nothing new are told apart."""
    assert state.clocks.get("2019np") == {}
    assert Clock().silence == "never asked"
    state.clocks.record("2019np", "mars", asked_ms=10, status="error", error="MARS: time-out")
    clock = state.clocks.get("SN2019np")["mars"]
    assert (clock.silence, clock.error, clock.answered_ms) == (
        "no answer",
        "MARS: time-out",
        None,
    )
    detail = {"newest_ms": 5, "object_ids": ["ZTF19a"]}
    state.clocks.record(
        "2019np", "mars", asked_ms=20, answered_ms=21, status="nothing new", detail=detail
    )
    clock = state.clocks.get("2019np")["mars"]
    assert (clock.silence, clock.status, clock.error) == ("answered", "nothing new", None)
    assert clock.detail == detail


def test_a_silent_source_keeps_its_last_answer(state: State) -> None:
    """What was known stays known while a source is down; the text says why it is silent."""
    state.clocks.record(
        "a", "mars", asked_ms=10, answered_ms=11, status="ok", detail={"newest_ms": 5}
    )
    state.clocks.record("a", "mars", asked_ms=20, status="error", error="no route to host")
    clock = state.clocks.get("a")["mars"]
    assert (clock.asked_ms, clock.answered_ms, clock.silence) == (20, 11, "no answer")
    assert clock.detail == {"newest_ms": 5}
    state.clocks.record("a", "mars", asked_ms=30, status="error")
    assert state.clocks.get("a")["mars"].error == "no answer"


def test_sources_of_one_target_have_their_own_clocks(state: State) -> None:
    """One silent source says nothing about another; many targets are read in one go."""
    state.clocks.record("a", "mars", asked_ms=1, answered_ms=2, status="ok")
    state.clocks.record("a", "alerce", asked_ms=3, status="error", error="down")
    both = state.clocks.all(["a", "b"])
    assert {source: clock.silence for source, clock in both["a"].items()} == {
        "mars": "answered",
        "alerce": "no answer",
    }
    assert both["b"] == {}
    assert state.clocks.all([]) == {}
    state.clocks.forget("a", "mars")
    assert list(state.clocks.get("a")) == ["alerce"]


def test_the_detail_of_a_clock_is_that_of_the_last_answer(state: State) -> None:
    """Whole: what an older answer said is gone with the next one."""
    for detail in ({"x": 1, "kinds": [], "long": "y" * 100}, {"z": None, "reason": ""}):
        state.clocks.record("a", "mars", asked_ms=2, answered_ms=3, status="ok", detail=detail)
        kept = {name: value for name, value in detail.items() if value != ""}
        assert state.clocks.get("a")["mars"].detail == kept
    state.clocks.record("a", "mars", asked_ms=4, status="error", error="no route")
    assert state.clocks.get("a")["mars"].detail == {"z": None}
    state.clocks.forget("a", "mars")
    assert state._connection.call("HLEN", state._keys("clock")) == 0


def test_who_has_no_answer_is_known_without_reading_all(state: State) -> None:
    """Longest first, each once; an answer, or the end of the target, ends it."""
    for number, name in enumerate("abc"):
        state.targets.put(Target(name), origin="file")
        state.clocks.record(name, "mars", asked_ms=number, status="error", error="no route")
    state.clocks.record("b", "fink", asked_ms=9, answered_ms=9, status="ambiguous")
    state.clocks.record("a", "mars", asked_ms=10, status="error", error="no route")
    assert state.clocks.troubled(10) == ["a", "b", "c"]
    assert state.clocks.count_troubled() == 4
    state.clocks.record("a", "mars", asked_ms=11, answered_ms=11, status="ok")
    assert state.clocks.troubled(10) == ["b", "c"]
    state.targets.remove("b")
    assert state.clocks.troubled(10) == ["c"]
    state.clocks.unasked("a", "mars", reason="its breaker is open")
    assert state.clocks.troubled(10) == ["c", "a"]


def test_receipts_are_bounded_in_bytes_but_for_the_newest(state: State) -> None:
    """A long one is compressed, kept whole, and takes the place of the older ones."""
    for number in range(5):
        state.receipts.put("7", {"at": number, "answers": ["success"]})
    points = [{"obs_date": f"2027-01-01T00:00:{n:06.3f}", "band": "g"} for n in range(500)]
    state.receipts.put("7", {"at": 5, "points": points})
    assert state.receipts.last("7") == {"at": 5, "points": points}
    assert [receipt["at"] for receipt in state.receipts.list("7")] == [5]
    size = state._connection.call("HSTRLEN", state._keys("receipts"), "7")
    assert size < 3 * len(points)
