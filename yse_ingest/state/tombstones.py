"""Tombstones: rows of ours that are gone from YSE-PZ, and how often that was seen.

A row that was gone once is sent again; gone twice, it waits for a person's word. Nothing can
derive that, so each is kept as a decision too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from yse_ingest.ledger import Flag, Ledger, Slot
from yse_ingest.state.keys import dumps, loads
from yse_ingest.state.owed import exposure_field, exposure_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.photometry import Bools
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys

SENT_AGAIN = 1
"""So often a row that is gone is sent again without a person's word."""


class Tombstone(NamedTuple):
    """One exposure whose row is gone."""

    times: int
    """How often its row was found gone."""
    at_ms: int
    """When it was last seen to be gone [Unix ms]."""
    pk: int
    """The row that is gone; 0: it was never seen."""


class Tombstones:
    """Rows that are gone, by transient and exposure."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self._keys = keys
        self._decisions = decisions
        self._transients = keys("tombstones")

    def note(self, transient_id: int, gone: Ledger) -> Bools:
        """Note rows that are gone; return which are not to be sent again, shape (n,)."""
        now_ms = self._connection.now_ms()
        known = self.get(transient_id)
        fields = fields_of(gone)
        noted = {}
        for field, pk in zip(fields, gone.pk.tolist(), strict=True):
            stone = known.get(field, Tombstone(0, now_ms, -1))
            # Whoever was killed after noting a row notes it again.
            again = Tombstone(stone.times + 1, now_ms, pk)
            noted[field] = stone if stone.pk == pk > 0 else again
        if noted:
            self._write(transient_id, noted)
        return np.array([noted[field].times > SENT_AGAIN for field in fields], dtype=bool)

    def keep_gone(self, since_ms: int) -> int:
        """Take what is gone since then as removed for good; return how many rows."""
        count = 0
        for transient_id in self.transients():
            kept = {
                field: stone._replace(times=max(stone.times, SENT_AGAIN + 1))
                for field, stone in self.get(transient_id).items()
                if stone.at_ms >= since_ms
            }
            if kept:
                self._write(transient_id, kept)
            count += len(kept)
        return count

    def _write(self, transient_id: int, stones: Mapping[str, Tombstone]) -> None:
        rows = {field: list(stone) for field, stone in stones.items()}
        self.restore(transient_id, rows)
        self._decisions.append("gone", transient=transient_id, rows=rows)

    def restore(self, transient_id: int, rows: Mapping[str, list[int]]) -> None:
        """Bring what a decision noted into Redis."""
        flat = [part for field, stone in rows.items() for part in (field, dumps(stone))]
        self._connection.batch(
            [
                ("HSET", self._key(transient_id), *flat),
                ("SADD", self._transients, transient_id),
            ],
            atomic=True,
        )

    def get(self, transient_id: int) -> dict[str, Tombstone]:
        """Return the tombstones of a transient by `yse_ingest.state.exposure_field`."""
        raw = self._connection.call("HGETALL", self._key(transient_id))
        return {field: Tombstone(*loads(text)) for field, text in raw.items()}

    def ledger(self, transient_id: int) -> Ledger:
        """Return the rows that are not to be sent again, as a ledger's memory of them."""
        places = [
            exposure_of(field)
            for field, stone in self.get(transient_id).items()
            if stone.times > SENT_AGAIN
        ]
        slots = tuple(dict.fromkeys(Slot(*place[:3]) for place in places))
        count = len(places)
        return Ledger(
            time_ms=np.array([place[3] for place in places], dtype=np.int64),
            slot=np.array([slots.index(Slot(*place[:3])) for place in places], dtype=np.uint8),
            flags=np.full(count, Flag.GONE, np.uint8),
            pk=np.zeros(count, np.uint32),
            value_hash=np.zeros(count, np.uint32),
            slots=slots,
            gaps={},
        )

    def transients(self) -> list[int]:
        """Return the transients that have tombstones."""
        return sorted(map(int, self._connection.call("SMEMBERS", self._transients)))

    def forget(self, transient_id: int, *, since_ms: int = 0) -> int:
        """Forget those seen since then: their rows are sent again; return how many."""
        fields = [
            field for field, stone in self.get(transient_id).items() if stone.at_ms >= since_ms
        ]
        if fields:
            key = self._key(transient_id)
            self._connection.call("HDEL", key, *fields)
            if not self._connection.call("EXISTS", key):
                self._connection.call("SREM", self._transients, transient_id)
            self._decisions.append("gone_forgotten", transient=transient_id, since_ms=since_ms)
        return len(fields)

    def _key(self, transient_id: int) -> str:
        return self._keys("tombstones", str(transient_id))


def fields_of(rows: Ledger) -> list[str]:
    """Return the name of the exposure of each row of a ledger."""
    names = []
    for code, time_ms in zip(rows.slot.tolist(), rows.time_ms.tolist(), strict=True):
        instrument, obs_group, band = rows.slots[code]
        names.append(exposure_field(instrument, obs_group, band, time_ms))
    return names
