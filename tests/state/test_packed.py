"""Packed values: what comes back, what is noticed, what they take."""

from __future__ import annotations

import math
import string
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yse_ingest.ledger import Ledger, Slot
from yse_ingest.state.clocks import Clock, clocks_of, kept_clocks
from yse_ingest.state.ledgers import packed_ledger, unpacked_ledger
from yse_ingest.state.packed import (
    FORMAT,
    DamagedError,
    PackedHash,
    is_whole,
    pack,
    pack_json,
    unpack,
    unpack_json,
)
from yse_ingest.state.receipts import with_columns, with_points

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.state import State

    Until = Callable[[Callable[[], Any]], Any]

FIRST = "01c3d0e143437727366780159a9a989998585a981859c4d60200"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)
TIME_MS = st.none() | st.integers(0, 2**42)
CLOCKS = st.builds(
    Clock,
    asked_ms=TIME_MS,
    answered_ms=TIME_MS,
    status=st.none() | st.sampled_from(["ok", "empty", "ambiguous", ""]),
    error=st.none() | TEXT,
    silent_ms=TIME_MS,
    unasked_ms=TIME_MS,
    pending_ms=TIME_MS,
    detail=st.dictionaries(TEXT, JSON.filter(lambda value: value not in ("", {})), max_size=6),
)
POINTS = st.lists(
    st.fixed_dictionaries(
        {
            "band": st.sampled_from(["g-ZTF", "r-ZTF", "cyan-ATLAS"]) | TEXT,
            "obs_date": st.datetimes().map(lambda at: at.isoformat(timespec="milliseconds"))
            | st.sampled_from(["2027-13-01T00:00:00.000", "2027-01-01", "", "NaT"]),
            "outcome": st.sampled_from(["verified", "accepted"]) | JSON,
        }
    ),
    max_size=80,
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Draw a ledger with values of every size that its columns hold."""
    slots = tuple(draw(st.lists(st.builds(Slot, TEXT, TEXT, TEXT), max_size=4, unique=True)))
    count = draw(st.integers(0, 40)) if slots else 0

    def column(low: int, high: int, kind: Any) -> Any:
        values = st.lists(st.integers(low, high), min_size=count, max_size=count)
        return np.array(draw(values), dtype=kind)

    return Ledger(
        time_ms=column(-(2**47) + 1, 2**47 - 1, np.int64),
        slot=column(0, max(0, len(slots) - 1), np.uint8),
        flags=column(0, 255, np.uint8),
        pk=column(0, 2**32 - 1, np.uint32),
        value_hash=column(0, 2**32 - 1, np.uint32),
        slots=slots,
        gaps=draw(st.dictionaries(TEXT, st.integers(0, 2**40), max_size=4)),
        read_back_ms=draw(st.integers(0, 2**42)),
    )


@settings(deadline=None)
@given(st.binary(max_size=3000), TEXT)
def test_bytes_come_back(data: bytes, name: str) -> None:
    """Whatever they are, and whatever both sides know of them."""
    packed = pack(data, known=name.encode())
    assert is_whole(packed)
    assert unpack(packed, known=name.encode()) == data


@settings(deadline=None)
@given(JSON)
def test_json_comes_back(value: Any) -> None:
    """Floats to their last bit."""
    assert unpack_json(pack_json(value)) == value


@settings(deadline=None)
@given(st.binary(max_size=200), st.data())
def test_whatever_is_changed_is_noticed(content: bytes, data: st.DataObject) -> None:
    """A byte that differs, an end that is missing, something that follows."""
    whole = pack(content)
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(1, 255))
    changed = whole[:place] + bytes([whole[place] ^ other]) + whole[place + 1 :]
    for damaged in (changed, whole[:place], whole + bytes([other])):
        assert not is_whole(damaged)
        with pytest.raises(DamagedError):
            unpack(damaged)


def test_a_value_written_by_this_format_is_read_for_ever() -> None:
    """Its dictionary may not change: this was written by the first version of it."""
    first = bytes.fromhex(FIRST)
    assert first[0] == FORMAT
    assert unpack_json(first) == {"mars": ["ok", {"kinds": ["detection"]}, 1795464498428]}


@settings(deadline=None)
@given(ledgers())
def test_a_ledger_comes_back_to_the_last_bit(ledger: Ledger) -> None:
    """Times before 1970 and beyond 4000, primary keys that go down, slots in any writing."""
    found = unpacked_ledger(packed_ledger(ledger, "name", "slug"))
    for column in ("time_ms", "slot", "flags", "pk", "value_hash"):
        ours, theirs = getattr(ledger, column), getattr(found, column)
        np.testing.assert_array_equal(theirs, ours)
        assert theirs.dtype == ours.dtype
    assert (found.slots, found.gaps) == (ledger.slots, ledger.gaps)
    assert found.read_back_ms == ledger.read_back_ms


@settings(deadline=None)
@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1), CLOCKS, max_size=3))
def test_clocks_come_back(clocks: dict[str, Clock]) -> None:
    """Of each source whatever is known."""
    assert clocks_of(unpack_json(pack_json(kept_clocks(clocks)))) == clocks


@settings(deadline=None)
@given(POINTS, st.dictionaries(TEXT.filter(lambda name: name != "points"), JSON, max_size=4))
def test_a_receipt_comes_back(points: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    """With its points in their order, dates that are none among them."""
    receipt = {**rest, "points": points}
    assert with_points(unpack_json(pack_json(with_columns(receipt)))) == receipt


def test_points_that_differ_in_their_parts_stay_as_they_are() -> None:
    """A receipt of another version is kept, and shown, too."""
    several: list[Any] = [[{"band": "g"}, {"band": "r", "note": "x"}], [], None, [{}]]
    for points in several:
        receipt = {"points": points}
        assert with_points(unpack_json(pack_json(with_columns(receipt)))) == receipt


def test_two_who_change_one_value_lose_nothing(state: State) -> None:
    """Whoever comes second changes what the first one left."""
    shelf = PackedHash(state._connection, state._keys("shelf"))
    both = threading.Barrier(4)

    def add(number: int) -> None:
        both.wait()
        for step in range(25):
            shelf.change("a", lambda known: [*(known or []), [number, step]])  # noqa: B023

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(shelf.get("a")) == [[n, step] for n in range(4) for step in range(25)]
    assert shelf.change("a", lambda _: None) is not None
    assert shelf.get("a") is None
    assert shelf.names() == []


def test_a_clock_written_meanwhile_is_not_overwritten(state: State) -> None:
    """Two sources that answer at once have both answered."""
    calls = []

    def noting(_: str, clocks: dict[str, Clock]) -> Clock:
        calls.append(sorted(clocks))
        if len(calls) == 1:
            state.clocks.record("a", "fink", asked_ms=1, answered_ms=2, status="ok")
        return replace(clocks.get("mars", Clock()), asked_ms=3, answered_ms=4, status="empty")

    state.clocks.record_answers(["a"], "mars", noting)

    assert calls == [[], ["fink"]]
    assert {name: clock.status for name, clock in state.clocks.get("a").items()} == {
        "fink": "ok",
        "mars": "empty",
    }


@pytest.mark.parametrize("kind", ["clock", "receipts", "quarantine", "refused", "waiting"])
def test_a_damaged_value_is_missing_and_made_anew(
    state: State, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is derivable: a warning names it, and the next one takes its place."""
    shelf = PackedHash(state._connection, state._keys(kind))

    def write() -> None:
        state.clocks.record("a", "mars", asked_ms=1, answered_ms=1, status="ok")
        state.receipts.put("a", {"sent": 1})
        state.quarantine.put("a", [{"native_id": "1", "reason": "x"}])
        state.quarantine.refuse("a", {"1": "v"}, wait_s=60)
        state.choices.wait_for("a", ["mars"])

    def read() -> list[Any]:
        return [
            state.clocks.get("a"),
            state.receipts.list("a"),
            state.quarantine.list("a") or {},
            state.quarantine.refusals("a"),
        ]

    write()
    whole = state._connection.call("HGET", shelf.key, "a", binary=True)
    state._connection.call("HSET", shelf.key, "a", whole[:-2])
    assert shelf.get("a") is None
    assert "damaged, taken as missing" in caplog.text
    place = ["clock", "receipts", "quarantine", "refused", "waiting"].index(kind)
    assert kind == "waiting" or not read()[place]

    write()

    assert all(read())
    assert state.choices.waiting("a") == {"mars"}


def test_a_damaged_look_up_was_never_made(state: State) -> None:
    """The next cycle asks again."""
    state.resolutions.put("a", {"pk": 7})
    state._connection.call("HSET", state._keys("resolution"), "a", b"\x01half")
    assert state.resolutions.get("a") is None
    assert state.resolutions.many(["a", "b"]) == {}
    assert state.resolutions.age_s("a") == math.inf


def test_look_ups_that_nobody_believes_any_more_go(state: State, until: Until) -> None:
    """Of names that are asked for once, and never again, few stay."""
    for number in range(50):
        state.resolutions.put(f"old{number}", {"pk": number}, keep_s=0.001)
    kept = PackedHash(state._connection, state._keys("resolution"))

    def put_and_count() -> bool:
        state.resolutions.put("new", {"pk": 7})
        return kept.names() == ["new"]

    assert until(put_and_count)
    assert state.resolutions.get("new") == {"pk": 7}
