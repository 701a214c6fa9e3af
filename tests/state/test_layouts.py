"""A state of layout 1, as the version before wrote it, is taken over by this one."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.ledger import Ledger
from yse_ingest.state.resolutions import KEEP_S
from yse_ingest.state.store import LAYOUT
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.state import State

    Connect = Callable[..., State]
    Curve = Callable[..., Any]

NAME = "2019np"
ROW = {"at_ms": 5, "field": "magpsf", "raw": "{}", "source": "mars", "value": "NaN"}


@pytest.fixture
def ledger(curve: Curve) -> Ledger:
    """Return a ledger of four points on two shelves."""
    first = Ledger.empty(gaps={"ZTF-Cam|r-ZTF": 1000}).with_sent(curve([1_000, 2_000, 3_000]))
    return first.with_sent(curve([1_500], band="g-ZTF"))


def write_first_layout(state: State, ledger: Ledger) -> None:
    """Write what layout 1 was: a key each, JSON text, base 85."""
    call, keys = state._connection.call, state._keys
    points = ledger.pack()
    meta = {
        "crc": zlib.crc32(points),
        "gaps": dict(ledger.gaps),
        "name": NAME,
        "read_back_ms": 0,
        "slots": [list(slot) for slot in ledger.slots],
        "slug": "2019np-1",
    }
    for shelf in ("ledger", "shadow:ledger"):
        call("HSET", keys(shelf, "7"), "meta", json.dumps(meta), "points", points)
        call("ZADD", keys(f"{shelf}s"), 0, 7)
    call("HSET", keys("ledger", "8"), "meta", json.dumps(meta), "points", points[:-1])
    call("ZADD", keys("ledgers"), 0, 8)
    clock = {
        "mars|asked_ms": 10,
        "mars|answered_ms": 11,
        "mars|status": "ok",
        "mars|.newest_ms": 5,
        "mars|.kinds": '["detection"]',
        "fink|asked_ms": 12,
        "fink|status": "error",
        "fink|error": "no route",
        "fink|silent_ms": 12,
        "fink|detail": '{"old":1}',
    }
    call("HSET", keys("clock", NAME), *(part for pair in clock.items() for part in pair))
    long = json.dumps({"at": 1, "points": [{"band": "g", "n": n} for n in range(40)]})
    packed = base64.b85encode(zlib.compress(long.encode())).decode()
    call("RPUSH", keys("receipts", "7"), '{"at":2}', packed)
    call("SET", keys("resolution", NAME), '{"pk":7,"tags":["a"]}', "PX", 60_000)
    for number, at_ms in (("2", 6), ("1", 5)):
        row = {**ROW, "at_ms": at_ms, "native_id": number, "reason": "not a number"}
        call("HSET", keys("quarantine", NAME), f"id{number}", json.dumps(row))
        call("ZADD", keys("quarantine", NAME, "order"), at_ms, f"id{number}")
    call("SADD", keys("quarantines"), NAME)
    call("HSET", keys("quarantine:kinds"), "mars|magpsf|not a number", 5)
    call("HSET", keys("refused", NAME), "17", '{"values":"v","times":2,"until_ms":9}')
    call("SADD", keys("waiting", NAME), "fink", "alerce")
    call("SET", keys("version"), 1)


def see_all(state: State, ledger: Ledger) -> None:
    """Look at everything that was written."""
    for shelf in (state.ledgers, state.shadow.ledgers):
        found = shelf.get(7)
        assert found is not None
        for column in ("time_ms", "slot", "flags", "pk", "value_hash"):
            np.testing.assert_array_equal(getattr(found, column), getattr(ledger, column))
        assert (found.slots, found.gaps) == (ledger.slots, ledger.gaps)
    assert state.ledgers.about(7) == {
        "name": NAME,
        "slug": "2019np-1",
        "gaps": {"ZTF-Cam|r-ZTF": 1000},
        "read_back_ms": 0,
    }
    assert state.ledgers.oldest(9) == [(7, 0)]
    clocks = state.clocks.get(NAME)
    assert clocks["mars"].detail == {"newest_ms": 5, "kinds": ["detection"]}
    assert (clocks["mars"].answered_ms, clocks["mars"].status) == (11, "ok")
    assert (clocks["fink"].error, clocks["fink"].silent_ms) == ("no route", 12)
    assert clocks["fink"].detail == {"old": 1}
    newest, older = state.receipts.list("7")
    assert newest == {"at": 2}
    assert older["points"][39] == {"band": "g", "n": 39}
    assert state.resolutions.get(NAME) == {"pk": 7, "tags": ["a"]}
    assert KEEP_S - 60 <= state.resolutions.age_s(NAME) < KEEP_S
    assert [row["native_id"] for row in state.quarantine.list()] == ["1", "2"]
    assert (
        state.quarantine.put(NAME, [{**ROW, "native_id": "1", "reason": "not a number"}]) == 0
    )
    assert state.quarantine.kinds() == {("mars", "magpsf", "not a number"): 5}
    assert state.quarantine.refusals(NAME)["17"] == ("v", 2, 9)


def test_layout_one_is_packed_and_nothing_is_left_behind(
    connect: Connect, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """YSE-PZ and the sources are not asked for what was known; decisions stay as they are."""
    first = connect()
    first.targets.put(Target(NAME), origin="adhoc")
    first.targets.pause(NAME, "on holiday")
    first.quarantine.reject(NAME, "99", "satellite")
    write_first_layout(first, ledger)

    with caplog.at_level(logging.INFO):
        state = connect()

    see_all(state, ledger)
    assert "older state, packed anew" in caplog.text
    assert state.choices.waiting(NAME) == {"alerce", "fink"}
    assert state.targets.paused() == {NAME: "on holiday"}
    assert state.quarantine.rejections() == {NAME: {"99": "satellite"}}
    assert state._connection.call("GET", state._keys("version")) == str(LAYOUT)
    kept = {key.split(":", 2)[2] for key in keys_of(state)}
    old = (
        "ledger:",
        "clock:",
        "receipts:",
        "quarantine:2",
        "refused:",
        "waiting:",
        "resolution:",
    )
    assert not [key for key in kept if key.startswith(old) or key == "quarantines"]


def test_a_crash_in_between_costs_nothing(connect: Connect, ledger: Ledger) -> None:
    """Half is packed, the version is still the old one: the next start does the rest."""
    state = connect()
    write_first_layout(state, ledger)
    connect()
    state._connection.call("SET", state._keys("version"), 1)
    state._connection.call("HSET", state._keys("clock", "other"), "mars|asked_ms", 3)
    again = connect()
    see_all(again, ledger)
    assert again.clocks.get("other")["mars"].asked_ms == 3


def test_what_is_newer_stays(connect: Connect, ledger: Ledger) -> None:
    """A process of the old version that still writes changes nothing that the new one knows."""
    state = connect()
    state.clocks.record(NAME, "mars", asked_ms=99, answered_ms=99, status="empty")
    write_first_layout(state, ledger)
    assert connect().clocks.get(NAME)["mars"].asked_ms == 99


def test_an_older_copy_is_packed_by_who_notices_it(connect: Connect, ledger: Ledger) -> None:
    """A copy of the old layout, restored under a process that runs."""
    state = connect()
    state._connection.call("DEL", *keys_of(state))
    write_first_layout(state, ledger)
    assert state.notice_loss(0.001)
    assert state.ledgers.count() == 0
    assert state.clocks.get(NAME)["mars"].asked_ms == 10
    assert state._connection.call("GET", state._keys("version")) == str(LAYOUT)


def keys_of(state: State) -> list[str]:
    """Return every key of the namespace."""
    keys: list[str] = state._connection.call("KEYS", state._keys("*"))
    return keys
