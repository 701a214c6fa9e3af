"""Reading ahead: several reads in one round trip, each reply for one reader and once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.ledger import Ledger
from yse_ingest.state.clocks import noted_answer

if TYPE_CHECKING:
    from yse_ingest.state import State


def test_what_was_read_ahead_is_as_old_as_the_block_and_read_once(state: State) -> None:
    state.clocks.record("a", "mars", asked_ms=1, answered_ms=1, status="ok")

    with state.reading_ahead([state.clocks.read_of("a"), state.clocks.read_of("b")]):
        state.clocks.record("a", "mars", asked_ms=2, answered_ms=2, status="ok")
        ahead, then = state.clocks.get("a"), state.clocks.get("a")

        assert state.clocks.get("b") == {}

    assert ahead["mars"].asked_ms == 1
    assert then["mars"].asked_ms == 2


def test_nothing_read_ahead_outlives_the_block(state: State) -> None:
    def interrupted() -> None:
        with state.reading_ahead([state.clocks.read_of("a")]):
            state.clocks.record("a", "mars", asked_ms=2, answered_ms=2, status="ok")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()

    assert state.clocks.get("a")["mars"].asked_ms == 2


def test_another_thread_reads_for_itself(state: State) -> None:
    seen = []
    with state.reading_ahead([state.clocks.read_of("a")]):
        state.clocks.record("a", "mars", asked_ms=2, answered_ms=2, status="ok")
        other = threading.Thread(target=lambda: seen.append(state.clocks.get("a")))
        other.start()
        other.join()

        assert state.clocks.get("a") == {}

    assert seen[0]["mars"].asked_ms == 2


def test_a_ledger_and_who_waits_are_read_ahead_as_they_are(state: State) -> None:
    state.ledgers.put(7, Ledger.empty(), name="a", slug="a")
    state.choices.wait_for("a", ["mars"])
    reads = [state.ledgers.read_of(7), state.ledgers.read_of(8), state.choices.read_of("a")]

    with state.reading_ahead(reads):
        assert state.ledgers.get(7) is not None
        assert state.ledgers.get(8) is None
        assert state.choices.waiting("a") == {"mars"}
        assert state.choices.waiting("a") == set()


def test_answers_noted_together_are_those_noted_alone(state: State) -> None:
    noted: dict[str, Any] = {
        "asked_ms": 5,
        "answered_ms": 6,
        "status": "empty",
        "detail": {"newest_ms": 4},
    }
    for name in ("a", "b", "c"):
        state.clocks.record(name, "mars", asked_ms=1, status="error", error="was away")

    state.clocks.record("a", "mars", **noted)
    state.clocks.record_answers(
        ["b", "c"], "mars", lambda _, clocks: noted_answer(**noted)(clocks["mars"])
    )

    alone = state.clocks.get("a")
    assert alone["mars"].error is None
    assert state.clocks.all(["b", "c"]) == {"b": alone, "c": alone}
