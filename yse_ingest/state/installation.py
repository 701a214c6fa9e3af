"""Which installation a Redis belongs to, and whether it lost what it knew.

``installed`` in Redis holds the installation's id, the number of the last decision it knows,
and the run of the server that knew it. Nothing can be claimed or begun while it is missing,
names another installation than this process saw, or the server was started again
(`yse_ingest.state.scripts.CLAIM`), so that between a loss and its discovery nothing is sent.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from yse_ingest.errors import StateError
from yse_ingest.state.decisions import INSTALLED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import Decision, DecisionFile, DecisionLog
    from yse_ingest.state.keys import Keys

    Snapshot = Callable[[], Iterable[tuple[str, dict[str, Any]]]]


class Mark(NamedTuple):
    """What a Redis knows of its installation."""

    id: str
    seq: int
    """Number of the last decision it knows."""
    from_file: bool
    """Whether a file of decisions stands behind it."""
    run: str = ""
    """Which run of the server knew it."""
    restarted_ms: int = 0
    """When it was last noticed that the server was started again [Unix ms]; 0: never."""


class Loss(NamedTuple):
    """The state is empty, or older than the world."""

    mark: Mark
    """What it has to know after recovery."""
    replay: list[Decision]
    """Decisions it does not know, in order."""
    restarted: bool = False
    """Nothing but a restart of the server: its last second may be lost."""


class Installation:
    """The mark of one namespace, compared with the file and with what this process saw."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self.key = keys("installed")
        self._decisions = decisions
        self._seen = ""

    @property
    def id(self) -> str:
        """Return the installation that this process belongs to; "": not known yet."""
        return self._seen

    def restarted_ms(self) -> int:
        """Return when a restart of the server was last noticed [Unix ms]; 0: never."""
        return int(self._connection.call("HGET", self.key, "restarted_ms") or 0)

    @contextlib.contextmanager
    def file(self) -> Iterator[DecisionFile | None]:
        """Lock the file of decisions, where there is one."""
        if self._decisions.path is None:
            yield None
        else:
            with self._decisions.opened() as file:
                yield file

    def examine(self, file: DecisionFile | None, *, snapshot: Snapshot) -> Loss | None:
        """Return the loss, or None. A first start is marked as installed.

        Parameters
        ----------
        file
            The locked file of decisions; None: there is none.
        snapshot
            Returns what people decided, as far as Redis knows: the beginning of a new file.

        Raises
        ------
        StateError
            When this Redis belongs to the decisions of another file.
        """
        mark = self._read()
        run = self._connection.run_id()
        if file is not None and file.id is not None:
            loss = self._compare(mark, file, file.id)
        elif self._seen and (mark is None or mark.id != self._seen):
            loss = Loss(mark or Mark(self._seen, 0, from_file=False), [])
        else:
            loss = None
            if mark is None or file is not None:
                self._begin(mark, file, snapshot, run=run if mark is None else mark.run)
        if loss is not None:
            return loss._replace(mark=loss.mark._replace(run=run))
        if mark is not None and mark.run != run:
            known = (self._read() or mark)._replace(
                run=run, restarted_ms=self._connection.now_ms()
            )
            return Loss(known, [], restarted=True)
        current = self._read()
        self._seen = current.id if current else ""
        return None

    def _compare(self, mark: Mark | None, file: DecisionFile, known: str) -> Loss | None:
        if mark is not None and mark.id != known and mark.from_file:
            raise StateError(
                f"the state at {self._connection.address} belongs to another installation",
                service="Redis",
                remedy="Use another namespace, or the file of decisions that belongs to it.",
            )
        seq = mark.seq if mark is not None and mark.id == known else 0
        if seq >= file.seq:
            return None
        missing = [item for item in file.decisions if item.seq > seq]
        return Loss(Mark(known, file.seq, from_file=True), missing)

    def _begin(
        self, mark: Mark | None, file: DecisionFile | None, snapshot: Snapshot, *, run: str
    ) -> None:
        known = mark or Mark(uuid.uuid4().hex, 0, from_file=False)
        if file is None:
            # Two processes may start at once: the first one names the installation.
            self._connection.batch(
                [
                    ("HSETNX", self.key, "id", known.id),
                    ("HSETNX", self.key, "seq", 0),
                    ("HSETNX", self.key, "file", 0),
                    ("HSETNX", self.key, "run", run),
                ],
                atomic=True,
            )
            return
        file.write_many([(INSTALLED, {"id": known.id}), *snapshot()])
        self.write(known._replace(seq=file.seq, from_file=True, run=run))

    def write(self, mark: Mark) -> None:
        """Make this Redis that of an installation."""
        file = int(mark.from_file)
        values = ("id", mark.id, "seq", mark.seq, "file", file, "run", mark.run)
        self._connection.call("HSET", self.key, *values, "restarted_ms", mark.restarted_ms)
        self._seen = mark.id

    def _read(self) -> Mark | None:
        raw = self._connection.call("HGETALL", self.key)
        if "id" not in raw:
            return None
        return Mark(
            raw["id"],
            int(raw.get("seq", 0)),
            from_file=raw.get("file") == "1",
            run=raw.get("run", ""),
            restarted_ms=int(raw.get("restarted_ms", 0)),
        )
