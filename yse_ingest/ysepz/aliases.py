"""Every alias of YSE-PZ, kept: their list has no filter, so each look-up would read it whole.

Where there is a state in Redis, all processes and hosts share one copy
(`yse_ingest.state.aliases`): one of them reads the list, once a day, and whoever looks a name
up reads only what was added since.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from yse_ingest.aliases import Alias, AliasCopy
from yse_ingest.errors import HeldBackError
from yse_ingest.schemas.readback import AliasRowSchema
from yse_ingest.ysepz.http import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from yse_ingest.ysepz.lists import Lists

AGE_S = 86400.0
"""Aliases are read whole again after this long [s]; in between only what was added: a changed
or deleted one is noticed by the last known row, or by a look-up that it leads nowhere."""
PATIENCE_S = 15.0
"""Longest wait for another process that reads the list [s]."""
PAUSE_S = 0.1
"""Between two questions whether it is done [s]."""
AGAIN_S = 10.0
"""After such a wait, the work is tried again in this time [s]."""


class Shelf(Protocol):
    """Where the copy is kept. What it keeps may be lost at any time."""

    def now(self) -> float:
        """Return the time by which ``read_at`` is told [s]."""

    def load(self, known: AliasCopy | None) -> AliasCopy | None:
        """Return the copy; None: there is none, or it is broken.

        ``known``: one of earlier, of which only what was added need be loaded.
        """

    def append(self, copy: AliasCopy, added: Sequence[Alias]) -> AliasCopy:
        """Add rows to a copy; return it as it is kept, without them where they are not."""

    def begin(self) -> int | None:
        """Return the number of a new reading; None: another one is under way."""

    def going_on(self, reading: int) -> None:
        """Note that a reading goes on: called before each page."""

    def end(self, reading: int) -> None:
        """Note that a reading is over, also one that failed."""

    def replace(self, copy: AliasCopy) -> None:
        """Keep a new copy."""


class LocalShelf:
    """A shelf for one process, which keeps its copy in `Aliases`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._readings = 0

    def now(self) -> float:
        """Return the time [s]."""
        return self._clock()

    def load(self, known: AliasCopy | None) -> AliasCopy | None:
        """Return what is known."""
        return known

    def append(self, copy: AliasCopy, added: Sequence[Alias]) -> AliasCopy:
        """Return the copy with the rows."""
        return replace(copy, rows=(*copy.rows, *added))

    def begin(self) -> int:
        """Return the next number: `Aliases` lets one thread read at a time."""
        self._readings += 1
        return self._readings

    def going_on(self, reading: int) -> None:
        """Do nothing: nobody waits for it."""

    def end(self, reading: int) -> None:
        """Do nothing: nobody waits for it."""

    def replace(self, copy: AliasCopy) -> None:
        """Do nothing: `Aliases` keeps it."""


class Aliases:
    """Every alias; safe between threads.

    Parameters
    ----------
    shelf
        Returns where the copy is kept; asked at each reading.
    patience_s
        Longest wait for another process that reads the list [s].
    """

    def __init__(self, shelf: Callable[[], Shelf], *, patience_s: float = PATIENCE_S) -> None:
        self._shelf = shelf
        self._patience_s = patience_s
        self._copy: AliasCopy | None = None
        self._wrong: int | None = None
        self._lock = threading.Lock()

    def read(self, lists: Lists) -> tuple[Alias, ...]:
        """Return every alias, asking through these lists.

        Raises
        ------
        HeldBackError
            When another process reads the list, and there is none to be used meanwhile.
        """
        with self._lock:
            shelf = self._shelf()
            copy, new = self._load(shelf), None
            if copy is not None and shelf.now() - copy.read_at > AGE_S:
                new = self._whole(lists, shelf, instead_of=copy.reading)
            if copy is not None and new is None:
                # Where another process reads the list anew already, what is there serves.
                added = _added(lists, copy.rows)
                if added is not None:
                    self._copy = shelf.append(copy, added) if added else copy
                    return (*copy.rows, *added)
                self._wrong = copy.reading
            self._copy = new or self._another(lists, shelf)
            return self._copy.rows

    def forget(self) -> None:
        """Make the next `read` read the whole list."""
        with self._lock:
            self._wrong = None if self._copy is None else self._copy.reading

    def _load(self, shelf: Shelf) -> AliasCopy | None:
        copy = shelf.load(self._copy)
        return None if copy is None or copy.reading == self._wrong else copy

    def _another(self, lists: Lists, shelf: Shelf) -> AliasCopy:
        """Return a copy that was read anew, here or by another process."""
        give_up = time.monotonic() + self._patience_s
        while True:
            copy = self._whole(lists, shelf, instead_of=self._wrong) or self._load(shelf)
            if copy is not None:
                return copy
            if time.monotonic() >= give_up:
                raise HeldBackError(
                    "another process reads the list of aliases",
                    service=SERVICE,
                    retry_after=AGAIN_S,
                    remedy="Nothing to do: when it is read, it serves all.",
                )
            time.sleep(PAUSE_S)

    def _whole(self, lists: Lists, shelf: Shelf, *, instead_of: int | None) -> AliasCopy | None:
        """Return the whole list, read now; None: another process does that."""
        reading = shelf.begin()
        if reading is None:
            return None
        try:
            found = self._load(shelf)
            if found is not None and found.reading != instead_of:
                return found  # read by another process until just now
            began = shelf.now()
            rows = _from(lists, 0, before_page=lambda: shelf.going_on(reading))
            copy = AliasCopy(reading=reading, rows=tuple(rows), read_at=began)
            shelf.replace(copy)
            return copy
        finally:
            shelf.end(reading)


def _added(lists: Lists, known: Sequence[Alias]) -> list[Alias] | None:
    """Return what was added since; None: the list has changed otherwise."""
    if not known:
        return _from(lists, 0)
    last_and_added = _from(lists, len(known) - 1)
    return last_and_added[1:] if last_and_added[:1] == [known[-1]] else None


def _from(
    lists: Lists, offset: int, before_page: Callable[[], None] | None = None
) -> list[Alias]:
    rows = lists.rows(
        "alternatetransientnames", AliasRowSchema(), offset=offset, before_page=before_page
    )
    return [Alias(row["pk"], row["name"], row["transient"]) for row in rows]
