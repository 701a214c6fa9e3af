"""Receipts: what YSE-PZ answered, and what read-back showed."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from yse_ingest.state import scripts
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

Receipt = dict[str, Any]
History = list[Receipt]


KEPT = 20
"""So many receipts are kept per key, and"""
KEPT_BYTES = 600
"""as many as take no more than this; the newest always [bytes]."""
PACKED_FROM = 300
"""Longer ones are compressed [bytes]."""


class Receipts:
    """The last receipts by key (a transient's id as text, or a target's name)."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def put(self, key: str, receipt: Mapping[str, Any]) -> None:
        """Keep a receipt; of the older ones of a key the last few stay."""
        self._connection.run(
            scripts.RECEIPT_PUT,
            keys=[self._keys("receipts", key)],
            args=[_packed(dumps(dict(receipt))), KEPT, KEPT_BYTES],
        )

    def last(self, key: str) -> Receipt | None:
        """Return the newest receipt of a key, or None."""
        raw = self._connection.call("LINDEX", self._keys("receipts", key), 0)
        return None if raw is None else _unpacked(raw)

    def list(self, key: str) -> History:
        """Return the receipts of a key, newest first."""
        return [
            _unpacked(raw)
            for raw in self._connection.call("LRANGE", self._keys("receipts", key), 0, -1)
        ]


def _packed(text: str) -> str:
    if len(text) < PACKED_FROM:
        return text
    return base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _unpacked(raw: str) -> Receipt:
    text = raw if raw.startswith("{") else zlib.decompress(base64.b85decode(raw)).decode()
    receipt: Receipt = loads(text)
    return receipt
