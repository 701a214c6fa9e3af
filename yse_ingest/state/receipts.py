"""Receipts: what YSE-PZ answered, and what read-back showed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

Receipt = dict[str, Any]
History = list[Receipt]


KEPT = 20
"""So many receipts are kept per key."""


class Receipts:
    """The last receipts by key (a transient's id as text, or a target's name)."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def put(self, key: str, receipt: Mapping[str, Any]) -> None:
        """Keep a receipt; only the last 20 of a key stay."""
        name = self._keys("receipts", key)
        self._connection.batch(
            [("LPUSH", name, dumps(dict(receipt))), ("LTRIM", name, 0, KEPT - 1)], atomic=True
        )

    def last(self, key: str) -> Receipt | None:
        """Return the newest receipt of a key, or None."""
        raw = self._connection.call("LINDEX", self._keys("receipts", key), 0)
        return None if raw is None else loads(raw)

    def list(self, key: str) -> History:
        """Return the receipts of a key, newest first."""
        return [
            loads(raw)
            for raw in self._connection.call("LRANGE", self._keys("receipts", key), 0, -1)
        ]
