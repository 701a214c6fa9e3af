"""YSE-PZ's list of aliases, kept for all processes and hosts: one reads it, all use it.

Derivable: whatever is lost or broken is read anew. Rows stand in a list of their own per
reading, so that a process loads only those it has not seen.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from yse_ingest.aliases import Alias, AliasCopy
from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys
    from yse_ingest.state.leases import Leases

logger = logging.getLogger(__name__)

ROWS_MAX = 200_000
"""A longer list is not shared: each process keeps its own."""
NAME_MAX = 128
"""Nor is one with a longer name; YSE-PZ's column holds 64 characters."""
LEASE_S = 120.0
"""A reading whose process died is over after this [s]: longer than one page can take."""
KEPT_S = 2 * 86_400
"""A copy that nobody renews is forgotten after this [s]."""
_LEASE = "aliases"
_AT_ONCE = 5000


class AliasShelf:
    """The copy of one namespace; see `yse_ingest.ysepz.aliases.Shelf`."""

    rows_max = ROWS_MAX

    def __init__(self, connection: Connection, keys: Keys, leases: Leases) -> None:
        self._connection = connection
        self._keys = keys
        self._leases = leases
        self._meta = keys("aliases")
        self._own: int | None = None

    def now(self) -> float:
        """Return the time of Redis [s]."""
        return self._connection.now_ms() / 1000

    def load(self, known: AliasCopy | None) -> AliasCopy | None:
        """Return the copy; None: there is none, or it is broken."""
        if known is not None and known.reading == self._own:
            return known
        meta = self._connection.call("HGETALL", self._meta)
        if not meta:
            return None
        try:
            return self._copy(meta, known)
        # What is broken may fail anywhere: a field that is missing, JSON, its shape.
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("aliases damaged, read anew", extra={"reason": str(error)})
            self._connection.call("DEL", self._meta)
            return None

    def _copy(self, meta: dict[str, str], known: AliasCopy | None) -> AliasCopy:
        reading, count = int(meta["reading"]), int(meta["count"])
        rows = known.rows if known is not None and known.reading == reading else ()
        texts = self._connection.call("LRANGE", self._rows(reading), len(rows), -1)
        rows = (*rows, *map(_alias, texts))
        if len(rows) < count:
            msg = f"{len(rows)} rows of {count}"
            raise ValueError(msg)
        return AliasCopy(reading, rows, int(meta["read_ms"]) / 1000)

    def append(self, copy: AliasCopy, added: Sequence[Alias]) -> AliasCopy:
        """Add rows to the copy, where nobody else has since; return it as it is kept."""
        longer = replace(copy, rows=(*copy.rows, *added))
        if copy.reading == self._own:
            return longer
        if not self._fits(longer.rows):
            return copy
        kept = self._connection.run(
            scripts.ALIASES_APPEND,
            keys=[self._meta, self._rows(copy.reading)],
            args=[copy.reading, len(copy.rows), *map(_text, added)],
        )
        return longer if kept else copy

    def begin(self) -> int | None:
        """Take the lease of reading the list; None: another process has it."""
        return self._leases.take(_LEASE, lease_s=LEASE_S)

    def going_on(self, reading: int) -> None:
        """Renew the lease; one that is lost costs a second reading, and nothing else."""
        self._leases.renew(_LEASE, reading, lease_s=LEASE_S)

    def end(self, reading: int) -> None:
        """Give the lease back."""
        self._leases.release(_LEASE, reading)

    def replace(self, copy: AliasCopy) -> None:
        """Keep a new copy for all; one that is too long for this process alone."""
        before = self._connection.call("HGET", self._meta, "reading")
        if not self._fits(copy.rows):
            logger.warning("too many aliases to share", extra={"aliases": len(copy.rows)})
            self._own = copy.reading
            self._connection.call("DEL", self._meta)
            return
        self._own = None
        key, texts = self._rows(copy.reading), [_text(alias) for alias in copy.rows]
        for start in range(0, len(texts), _AT_ONCE):
            self._connection.call("RPUSH", key, *texts[start : start + _AT_ONCE])
        meta = {
            "reading": copy.reading,
            "count": len(copy.rows),
            "read_ms": round(copy.read_at * 1000),
        }
        flat = [part for pair in meta.items() for part in pair]
        self._connection.batch(
            [
                ("HSET", self._meta, *flat),
                ("EXPIRE", self._meta, KEPT_S),
                ("EXPIRE", key, KEPT_S),
                *([("UNLINK", self._rows(before))] if before else []),
            ],
            atomic=True,
        )

    def _fits(self, rows: Sequence[Alias]) -> bool:
        longest = max((len(alias.name) for alias in rows), default=0)
        return len(rows) <= self.rows_max and longest <= NAME_MAX

    def _rows(self, reading: int | str) -> str:
        return self._keys("aliases", str(reading))


def _text(alias: Alias) -> str:
    return dumps(list(alias))


def _alias(text: str) -> Alias:
    pk, name, transient = loads(text)
    if not isinstance(pk, int) or not isinstance(name, str):
        raise TypeError("no alias")
    return Alias(pk, name, None if transient is None else int(transient))
