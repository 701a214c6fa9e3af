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
from typing import IO, TYPE_CHECKING, Any

from yse_ingest.errors import StateError
from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

INSTALLED = "installed"


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
        self.decisions = _read(handle)

    @property
    def id(self) -> str | None:
        """Return the installation that the file belongs to; None: a file without history."""
        first = self.decisions[0] if self.decisions else None
        return first.about.get("id") if first and first.what == INSTALLED else None

    @property
    def seq(self) -> int:
        """Return the number of the last decision; 0: none."""
        return self.decisions[-1].seq if self.decisions else 0

    def write(self, what: str, about: dict[str, Any], *, seq: int | None = None) -> Decision:
        """Append one decision, on the disk when this returns."""
        decision = Decision(
            seq=self.seq + 1 if seq is None else seq,
            at=iso_of_unix(time.time()),
            what=what,
            about=about,
        )
        line = {**about, "seq": decision.seq, "at": decision.at, "what": what}
        self._handle.seek(0, os.SEEK_END)
        if not self._ends_whole():
            self._handle.write(b"\n")
        self._handle.write(dumps(line).encode() + b"\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())
        self.decisions.append(decision)
        return decision

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
        if self.path is None:
            return 0
        with self.opened() as file:
            return self._append(file, what, about)

    def _append(self, file: DecisionFile, what: str, about: dict[str, Any]) -> int:
        before = file.seq
        noted = int(self._connection.call("HGET", self._installed, "seq") or 0)
        decision = file.write(what, about, seq=max(noted, before) + 1)
        self._connection.run(
            scripts.DECISION_MARK,
            keys=[self._installed],
            args=[file.id or "", before, decision.seq],
        )
        return decision.seq

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

    def import_(self, path: Path, *, apply: Callable[[Decision], bool]) -> int:
        """Take over the decisions of an exported file, in its order; return how many.

        Safe to repeat: what is decided already is decided the same again.

        Parameters
        ----------
        path
            The exported file.
        apply
            Brings one decision into Redis, and returns whether it understood it
            (`yse_ingest.state.State.apply`).
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
        understood = [item for item in foreign if apply(item)]
        if self.path is not None:
            with self.opened() as file:
                for item in understood:
                    self._append(file, item.what, item.about)
        return len(understood)


def _read(handle: IO[bytes]) -> list[Decision]:
    handle.seek(0)
    decisions = []
    for number, line in enumerate(handle.read().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            decision = Decision(
                seq=int(values.pop("seq")),
                at=str(values.pop("at")),
                what=str(values.pop("what")),
                about=values,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            # Half a line after a power cut, or a person's edit: the others still hold.
            logger.warning("decision unreadable, skipped", extra={"line": number})
            continue
        decisions.append(decision)
    return decisions
