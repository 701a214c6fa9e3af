"""What a source remembers between two questions: that it works on one already.

A source that answers after minutes or hours is asked by whatever process comes next. It keeps
one note per target in a `Memory`. That of the service is in Redis
(`yse_ingest.state.pending`); a process without one has its own.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Note = Mapping[str, Any]
    """What is remembered: plain JSON values, no secret."""


class Memory(Protocol):
    """Notes by source and key, each changed by one of all processes at a time."""

    @property
    def lasting(self) -> bool:
        """Tell whether a note outlives this process."""
        ...

    def now_ms(self) -> int:
        """Return the time by which notes are dated [Unix ms]."""
        ...

    def get(self, source: str, key: str) -> Note | None:
        """Return a note, None where there is none."""
        ...

    def put(self, source: str, key: str, note: Note, *, instead_of: Note | None) -> bool:
        """Write a note where ``instead_of`` stands (None: nothing).

        False: something else stands there, and stays. So of several that want the same, one
        gets it.
        """
        ...

    def forget(self, source: str, key: str, note: Note) -> bool:
        """Remove this very note; False: it is not there."""
        ...


class ProcessMemory:
    """A memory for one process: what is under way when it ends is not known any more."""

    lasting = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes: dict[tuple[str, str], Note] = {}

    def now_ms(self) -> int:
        """Return the time [Unix ms]."""
        return time.time_ns() // 1_000_000

    def get(self, source: str, key: str) -> Note | None:
        """Return a note, None where there is none."""
        with self._lock:
            return self._notes.get((source, key))

    def put(self, source: str, key: str, note: Note, *, instead_of: Note | None) -> bool:
        """Write a note where ``instead_of`` stands; see `Memory.put`."""
        with self._lock:
            if self._notes.get((source, key)) != instead_of:
                return False
            self._notes[source, key] = note
            return True

    def forget(self, source: str, key: str, note: Note) -> bool:
        """Remove this very note; see `Memory.forget`."""
        with self._lock:
            if self._notes.get((source, key)) != note:
                return False
            del self._notes[source, key]
            return True


def process_memory() -> Callable[[], Memory]:
    """Return what gives one memory of this process."""
    memory = ProcessMemory()
    return lambda: memory
