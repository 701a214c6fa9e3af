"""Ledgers: what YSE-PZ holds of each transient, packed, by its numeric id.

A value is JSON (when it was read back, its gaps and slots, name, slug), a line feed, and the
rows of `yse_ingest.ledger.Ledger.pack`: byte column by byte column, times and primary keys as
differences, because columns that are alike take little.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.ledger import BYTES_PER_POINT, Ledger, Slot
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.state.packed import is_whole, pack, unpack

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)


class LedgerStore:
    """Ledgers by the transient's numeric id. All are derivable: a damaged one is missing."""

    def __init__(self, connection: Connection, keys: Keys, *, shelf: str = "ledger") -> None:
        self._connection = connection
        self._keys = keys
        self._shelf = keys(shelf)
        self._index = keys(f"{shelf}s")

    def get(self, transient_id: int) -> Ledger | None:
        """Return the ledger of a transient; None when there is none, or it is damaged."""
        raw = self._raw(transient_id)
        if raw is None:
            return None
        try:
            return unpacked_ledger(raw)
        # What is damaged may fail anywhere: checksum, JSON, its keys, their types, the rows.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._damaged(transient_id, str(error))
            return None

    def holds(self, transient_id: int) -> bool:
        """Tell whether there is a ledger, and it is as it was written; it is not unpacked."""
        raw = self._raw(transient_id)
        if raw is not None and not is_whole(raw):
            self._damaged(transient_id, "the checksum differs")
            return False
        return raw is not None

    def read_of(self, transient_id: int) -> Read:
        """Return what `get` and `holds` read."""
        return Read(("HGET", self._shelf, transient_id), binary=True)

    def _raw(self, transient_id: int) -> bytes | None:
        raw: bytes | None = self._connection.call(
            *self.read_of(transient_id).command, binary=True
        )
        return raw

    def _damaged(self, transient_id: int, reason: str) -> None:
        logger.warning(
            "ledger damaged, derived anew", extra={"transient": transient_id, "reason": reason}
        )
        self.drop(transient_id)

    def put(self, transient_id: int, ledger: Ledger, *, name: str, slug: str) -> None:
        """Keep the ledger of a transient, with the name and slug YSE-PZ has for it."""
        self._connection.batch(
            [
                ("HSET", self._shelf, transient_id, packed_ledger(ledger, name, slug)),
                ("ZADD", self._index, ledger.read_back_ms, transient_id),
            ],
            atomic=True,
        )

    def drop(self, transient_id: int) -> None:
        """Forget a ledger: the next upload reads YSE-PZ back."""
        self._connection.batch(
            [("HDEL", self._shelf, transient_id), ("ZREM", self._index, transient_id)],
            atomic=True,
        )

    def drop_all(self) -> int:
        """Forget every ledger; return how many there were."""
        count, _ = self._connection.batch(
            [("ZCARD", self._index), ("UNLINK", self._shelf, self._index)], atomic=True
        )
        return int(count)

    def about(self, transient_id: int) -> dict[str, Any] | None:
        """Return name, slug, gaps and read_back_ms of a transient's ledger, or None."""
        raw = self._raw(transient_id)
        if raw is None:
            return None
        try:
            (read_back_ms, gaps, _, name, slug), _ = _parts(raw)
        except (ValueError, TypeError):
            return None
        return {
            "name": name,
            "slug": name.lower() if slug is None else slug,
            "gaps": gaps,
            "read_back_ms": read_back_ms,
        }

    def oldest(self, limit: int) -> list[tuple[int, int]]:
        """Return ids and last read-backs [Unix ms], oldest first."""
        flat = self._connection.call("ZRANGE", self._index, 0, limit - 1)
        scores = self._connection.batch([("ZSCORE", self._index, member) for member in flat])
        return [
            (int(member), int(score))
            for member, score in zip(flat, scores, strict=True)
            if score is not None
        ]

    def newest(self, before_ms: int, limit: int) -> list[int]:
        """Return the ids last read back before a time [Unix ms], newest first."""
        found = self._connection.call(
            "ZRANGE", self._index, f"({before_ms}", "-inf", "BYSCORE", "REV", "LIMIT", 0, limit
        )
        return [int(member) for member in found]

    def count_since(self, since_ms: int) -> int:
        """Return how many were read back since then [Unix ms]."""
        return int(self._connection.call("ZCOUNT", self._index, since_ms, "+inf"))

    def count(self) -> int:
        """Return how many ledgers there are."""
        return int(self._connection.call("ZCARD", self._index))


def packed_ledger(ledger: Ledger, name: str, slug: str) -> bytes:
    """Return a ledger as it is kept, with the name and slug that YSE-PZ has for it."""
    usual = slug == name.lower()
    about = [
        ledger.read_back_ms,
        dict(ledger.gaps),
        ledger.slots,
        name,
        None if usual else slug,
    ]
    apart = replace(
        ledger,
        time_ms=np.diff(ledger.time_ms, prepend=np.int64(0)),
        pk=np.diff(ledger.pk, prepend=np.uint32(0)),
    )
    rows = np.frombuffer(apart.pack(), np.uint8).reshape(-1, BYTES_PER_POINT)
    return pack(dumps(about).encode() + b"\n" + rows.T.tobytes())


def _parts(packed: bytes) -> tuple[list[Any], bytes]:
    about, _, columns = unpack(packed).partition(b"\n")
    return loads(about.decode()), columns


def unpacked_ledger(packed: bytes) -> Ledger:
    """Return the ledger that `packed_ledger` was given."""
    (read_back_ms, gaps, slots, _, _), columns = _parts(packed)
    rows = np.frombuffer(columns, np.uint8).reshape(BYTES_PER_POINT, -1).T.tobytes()
    apart = Ledger.unpack(
        rows,
        slots=tuple(Slot(*slot) for slot in slots),
        gaps=gaps,
        read_back_ms=read_back_ms,
    )
    # Sums and differences are those of six and of four bytes: what ran over comes back.
    wide = np.cumsum(apart.time_ms) << np.int64(16)
    return replace(apart, time_ms=wide >> np.int64(16), pk=np.cumsum(apart.pk, dtype=np.uint32))
