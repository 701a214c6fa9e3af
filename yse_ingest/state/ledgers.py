"""Ledgers: one hash per transient of YSE-PZ, the packed points beside their JSON meta."""

from __future__ import annotations

import json
import logging
import zlib
from typing import TYPE_CHECKING, Any

from yse_ingest.ledger import Ledger, Slot
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

_SCAN = 1000


class LedgerStore:
    """Ledgers by the transient's numeric id. All are derivable: a damaged one is missing."""

    def __init__(self, connection: Connection, keys: Keys, *, shelf: str = "ledger") -> None:
        self._connection = connection
        self._keys = keys
        self._shelf = shelf
        self._index = keys(f"{shelf}s")

    def get(self, transient_id: int) -> Ledger | None:
        """Return the ledger of a transient; None when there is none, or it is damaged."""
        meta, points = self._connection.call(*self.read_of(transient_id).command, binary=True)
        if meta is None and points is None:
            return None
        try:
            return _unpack(meta, points)
        # What is damaged may fail anywhere: JSON, its keys, their types, the packed rows.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning(
                "ledger damaged, derived anew",
                extra={"transient": transient_id, "reason": str(error)},
            )
            self.drop(transient_id)
            return None

    def read_of(self, transient_id: int) -> Read:
        """Return what `get` reads."""
        return Read(("HMGET", self._key(transient_id), "meta", "points"), binary=True)

    def put(self, transient_id: int, ledger: Ledger, *, name: str, slug: str) -> None:
        """Keep the ledger of a transient, with the name and slug YSE-PZ has for it."""
        points = ledger.pack()
        meta = dumps(
            {
                "crc": zlib.crc32(points),
                "gaps": dict(ledger.gaps),
                "name": name,
                "read_back_ms": ledger.read_back_ms,
                "slots": [list(slot) for slot in ledger.slots],
                "slug": slug,
            }
        )
        key = self._key(transient_id)
        self._connection.batch(
            [
                ("HSET", key, "meta", meta, "points", points),
                ("ZADD", self._index, ledger.read_back_ms, transient_id),
            ],
            atomic=True,
        )

    def drop(self, transient_id: int) -> None:
        """Forget a ledger: the next upload reads YSE-PZ back."""
        self._connection.batch(
            [("DEL", self._key(transient_id)), ("ZREM", self._index, transient_id)], atomic=True
        )

    def drop_all(self) -> int:
        """Forget every ledger; return how many there were."""
        count = 0
        while found := self._connection.call("ZRANGE", self._index, 0, _SCAN - 1):
            self._connection.batch(
                [
                    ("UNLINK", *(self._key(transient_id) for transient_id in found)),
                    ("ZREM", self._index, *found),
                ],
                atomic=True,
            )
            count += len(found)
        return count

    def about(self, transient_id: int) -> dict[str, Any] | None:
        """Return name, slug, gaps and read_back_ms of a transient's ledger, or None."""
        raw = self._connection.call("HGET", self._key(transient_id), "meta")
        if raw is None:
            return None
        try:
            meta = loads(raw)
            return {part: meta[part] for part in ("name", "slug", "gaps", "read_back_ms")}
        except (json.JSONDecodeError, KeyError, TypeError):
            return None

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

    def _key(self, transient_id: int | str) -> str:
        return self._keys(self._shelf, str(transient_id))


def _unpack(meta: bytes, points: bytes) -> Ledger:
    values = json.loads(meta)
    if zlib.crc32(points) != values["crc"]:
        msg = "the checksum differs"
        raise ValueError(msg)
    return Ledger.unpack(
        points,
        slots=tuple(Slot(*slot) for slot in values["slots"]),
        gaps=values["gaps"],
        read_back_ms=values["read_back_ms"],
    )
