"""Decisions of people, in one plain file: the part of the state that nothing can derive.

One JSON object a line: ``seq`` (1, 2, 3...), ``at`` (UTC), ``what``, and what belongs to it.
The first line (``what``: "installed") names the installation. Redis notes the last ``seq`` it
knows, so that a Redis that was emptied, or is an old copy, is recognised.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from yse_ingest.errors import StateError
from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

INSTALLED = "installed"
TAIL_BYTES = 65_536
"""The last decision is looked for in so much of the end of the file."""


@dataclass(frozen=True)
class Decision:
    """One line of the file."""

    seq: int
    at: str
    what: str
    """"target_added", "target_removed", "paused", "resumed", "cadence", "rejected"..."""
    about: dict[str, Any] = field(default_factory=dict)
    """Whatever belongs to it, by name."""


class DecisionFile:
    """The file while it is locked: nobody else reads or writes it."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle

    @cached_property
    def decisions(self) -> list[Decision]:
        """Return every decision, in order."""
        return _read(self._handle)

    @property
    def id(self) -> str | None:
        """Return the installation that the file belongs to; None: a file without history."""
        self._handle.seek(0)
        first = _decision(self._handle.readline())
        if first is None:
            first = self.decisions[0] if self.decisions else None
        return first.about.get("id") if first and first.what == INSTALLED else None

    @property
    def seq(self) -> int:
        """Return the number of the last decision; 0: none."""
        # A file of 100,000 decisions is not read whole to add one.
        self._handle.seek(max(0, self._handle.seek(0, os.SEEK_END) - TAIL_BYTES))
        for line in reversed(self._handle.read().split(b"\n")):
            if (last := _decision(line)) is not None:
                return last.seq
            if line.strip():
                logger.warning("decision unreadable, skipped", extra={"line": "last"})
        return self.decisions[-1].seq if self.decisions else 0

    def write(self, what: str, about: dict[str, Any]) -> Decision:
        """Append one decision, on the disk when this returns."""
        return self.write_many([(what, about)])[0]

    def write_many(
        self, entries: Iterable[tuple[str, dict[str, Any]]], *, above: int = 0
    ) -> list[Decision]:
        """Append decisions, on the disk when this returns; numbers exceed ``above``."""
        at = iso_of_unix(time.time())
        begin = max(self.seq, above) + 1
        decisions = [
            Decision(seq=seq, at=at, what=what, about=about)
            for seq, (what, about) in enumerate(entries, start=begin)
        ]
        self._handle.seek(0, os.SEEK_END)
        if not self._ends_whole():
            self._handle.write(b"\n")
        for each in decisions:
            line = {**each.about, "seq": each.seq, "at": each.at, "what": each.what}
            self._handle.write(dumps(line).encode() + b"\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self.__dict__.pop("decisions", None)
        return decisions

    def _ends_whole(self) -> bool:
        # A power cut may have left half a line: the next one must not be glued to it.
        if self._handle.tell() == 0:
            return True
        self._handle.seek(-1, os.SEEK_END)
        return self._handle.read(1) == b"\n"


class DecisionLog:
    """Where decisions are kept; without a path they are only in Redis."""

    def __init__(self, path: Path | None, connection: Connection, keys: Keys) -> None:
        self.path = path
        self._connection = connection
        self._installed = keys("installed")

    @contextlib.contextmanager
    def opened(self) -> Iterator[DecisionFile]:
        """Open and lock the file; it and its folder are made when missing.

        Raises
        ------
        StateError
            When there is no path, or it cannot be read and written.
        """
        if self.path is None:
            raise StateError(
                "no file for decisions is configured",
                service="state",
                remedy="Configure the folder in which the state is kept.",
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        with os.fdopen(descriptor, "r+b") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield DecisionFile(handle)
            except OSError as error:
                raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StateError:
        return StateError(
            f"the file of decisions cannot be used: {error}",
            service="state",
            remedy=f"Make {self.path} readable and writable for this user.",
        )

    def append(self, what: str, **about: Any) -> int:
        """Note a decision that Redis has already; return its number (0 without a path)."""
        return self.append_many([(what, about)])

    def append_many(self, entries: Iterable[tuple[str, dict[str, Any]]]) -> int:
        """Note decisions, in one go; return the number of the last one (0 without a path)."""
        if self.path is None:
            return 0
        with self.opened() as file:
            return self._append(file, entries)

    def _append(self, file: DecisionFile, entries: Iterable[tuple[str, dict[str, Any]]]) -> int:
        before = file.seq
        noted = int(self._connection.call("HGET", self._installed, "seq") or 0)
        written = file.write_many(entries, above=noted)
        last = written[-1].seq if written else before
        self._connection.run(
            scripts.DECISION_MARK,
            keys=[self._installed],
            args=[file.id or "", before, last],
        )
        return last

    def entries(self) -> list[Decision]:
        """Return every decision in order, the installation's line first; [] without a path."""
        if self.path is None:
            return []
        with self.opened() as file:
            return file.decisions

    def export(self, path: Path) -> int:
        """Write a copy of the file, for this user alone; return how many lines.

        Raises
        ------
        StateError
            When there is nothing to copy from, or no place to copy to.
        """
        with self.opened() as file:
            decisions = file.decisions
        text = "".join(
            dumps({**item.about, "seq": item.seq, "at": item.at, "what": item.what}) + "\n"
            for item in decisions
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise StateError(
                f"decisions cannot be exported: {error}",
                service="state",
                remedy=f"Choose a place that can be written instead of {path}.",
            ) from error
        return len(decisions)

    def import_(
        self, path: Path, *, apply: Callable[[Sequence[Decision]], list[Decision]]
    ) -> int:
        """Take over the decisions of an exported file, in its order; return how many.

        Safe to repeat: what is decided already is decided the same again.

        Parameters
        ----------
        path
            The exported file.
        apply
            Brings decisions into Redis, and returns those that it understood
            (`yse_ingest.state.State.apply_all`).
        """
        try:
            with path.open("rb") as handle:
                foreign = [item for item in _read(handle) if item.what != INSTALLED]
        except OSError as error:
            raise StateError(
                f"decisions cannot be imported: {error}",
                service="state",
                remedy="Give a file that 'decisions export' wrote.",
            ) from error
        understood = apply(foreign)
        if self.path is not None and understood:
            with self.opened() as file:
                self._append(file, [(item.what, item.about) for item in understood])
        return len(understood)


def _read(handle: IO[bytes]) -> list[Decision]:
    handle.seek(0)
    decisions = []
    for number, line in enumerate(handle.read().split(b"\n"), start=1):
        if not line.strip():
            continue
        decision = _decision(line)
        if decision is None:
            # Half a line after a power cut, or a person's edit: the others still hold.
            logger.warning("decision unreadable, skipped", extra={"line": number})
        else:
            decisions.append(decision)
    return decisions


def _decision(line: bytes) -> Decision | None:
    """Return the decision that a line holds; None: it holds none that can be read."""
    try:
        values = json.loads(line)
        return Decision(
            seq=int(values.pop("seq")),
            at=str(values.pop("at")),
            what=str(values.pop("what")),
            about=values,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
