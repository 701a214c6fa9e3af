"""What sources work on: one note per question, changed by one of all processes at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sources import ProcessMemory
from yse_ingest.state.pending import KEEP_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sources import Memory
    from yse_ingest.state import State

    Connect = Callable[..., State]

JOB = {"url": "https://atlas.invalid/queue/1/", "ra": 150.1, "mjd_min": None, "polls": 0}


@pytest.fixture(params=["redis", "process"])
def memory(request: pytest.FixtureRequest) -> Memory:
    """Return both memories in turn: they promise the same."""
    if request.param == "process":
        return ProcessMemory()
    state: State = request.getfixturevalue("state")
    return state.pending


def test_a_note_is_what_was_written(memory: Memory) -> None:
    """Text, numbers and null come back as they were; others know nothing of it."""
    assert memory.get("atlas", "2025abc") is None
    assert memory.put("atlas", "2025abc", JOB, instead_of=None)
    assert memory.get("atlas", "2025abc") == JOB
    assert memory.get("atlas", "2025abd") is None
    assert memory.get("zfps", "2025abc") is None


def test_a_note_is_changed_by_who_knows_it(memory: Memory) -> None:
    """Who knows an older one changes nothing, and removes nothing."""
    later: dict[str, Any] = {**JOB, "polls": 1}
    assert memory.put("atlas", "2025abc", JOB, instead_of=None)
    assert not memory.put("atlas", "2025abc", later, instead_of=None)
    assert memory.put("atlas", "2025abc", later, instead_of=JOB)
    assert not memory.put("atlas", "2025abc", {**JOB, "polls": 2}, instead_of=JOB)
    assert not memory.forget("atlas", "2025abc", JOB)
    assert memory.get("atlas", "2025abc") == later
    assert memory.forget("atlas", "2025abc", later)
    assert not memory.forget("atlas", "2025abc", later)
    assert memory.get("atlas", "2025abc") is None


def test_of_many_at_once_one_gets_it(memory: Memory) -> None:
    """However many workers submit a question at the same moment, one does."""
    notes = [{**JOB, "tag": str(number)} for number in range(16)]

    with ThreadPoolExecutor(8) as workers:
        got = list(
            workers.map(
                lambda note: memory.put("atlas", "2025abc", note, instead_of=None), notes
            )
        )

    assert sum(got) == 1
    assert memory.get("atlas", "2025abc") == notes[got.index(True)]


def test_processes_share_what_is_in_redis(connect: Connect) -> None:
    """A note outlives who wrote it; it goes when the source has long forgotten the question."""
    first, second = connect(), connect()
    first.pending.put("atlas", "2025abc", JOB, instead_of=None)
    first.close()

    assert second.pending.get("atlas", "2025abc") == JOB
    assert second.pending.lasting
    (key,) = second._connection.call("KEYS", second._keys("pending", "*"))
    assert 0 < second._connection.call("PTTL", key) <= 1000 * KEEP_S
    assert not ProcessMemory.lasting
