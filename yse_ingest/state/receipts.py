"""Receipts: what YSE-PZ answered, and what read-back showed.

Those of one key are one packed value, the newest first: they are much alike. Points stand in it
by column: dates as differences [ms], other texts as letters.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.state.packed import PackedHash, pack_json
from yse_ingest.times import format_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

Receipt = dict[str, Any]
History = list[Receipt]


KEPT = 20
"""So many receipts are kept per key, and"""
KEPT_BYTES = 320
"""as many as take no more than this, packed together; the newest always [bytes]."""
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}")


class Receipts:
    """The last receipts by key (a transient's id as text, or a target's name)."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._packed = PackedHash(connection, keys("receipts"))

    def put(self, key: str, receipt: Mapping[str, Any]) -> None:
        """Keep a receipt; of the older ones of a key the last few stay."""
        newest = with_columns(receipt)
        self._packed.change(key, lambda known: _bounded([newest, *(known or [])]))

    def last(self, key: str) -> Receipt | None:
        """Return the newest receipt of a key, or None."""
        known = self._packed.get(key)
        return with_points(known[0]) if known else None

    def list(self, key: str) -> History:
        """Return the receipts of a key, newest first."""
        return [with_points(each) for each in self._packed.get(key) or []]


def kept_receipts(history: History) -> History:
    """Return receipts, newest first, as they are kept."""
    return _bounded([with_columns(each) for each in history])


def _bounded(history: History) -> History:
    kept = history[:KEPT]
    if len(pack_json(kept[:1])) > KEPT_BYTES:
        return kept[:1]
    while len(pack_json(kept)) > KEPT_BYTES:
        kept.pop()
    return kept


def with_columns(receipt: Mapping[str, Any]) -> Receipt:
    """Return a receipt with its points by column, where all have the same parts."""
    points = receipt.get("points")
    if not points or not points[0] or any(one.keys() != points[0].keys() for one in points):
        return dict(receipt)
    columns = {name: _column([each[name] for each in points]) for name in points[0]}
    return {**receipt, "points": columns}


def with_points(receipt: Mapping[str, Any]) -> Receipt:
    """Return the receipt that `with_columns` was given."""
    columns = receipt.get("points")
    if not isinstance(columns, dict):
        return dict(receipt)
    rows = zip(*map(_values, columns.values()), strict=True)
    return {**receipt, "points": [dict(zip(columns, row, strict=True)) for row in rows]}


def _column(values: Sequence[Any]) -> dict[str, Any]:
    if not all(isinstance(each, str) for each in values):
        return {"": values}
    if (times := _times_ms(values)) is not None:
        return {"ms": np.diff(times, prepend=np.int64(0)).tolist()}
    words = list(dict.fromkeys(values))
    if len(words) > len(string.ascii_letters):
        return {"": values}
    letters = dict(zip(words, string.ascii_letters, strict=False))
    return {"of": "".join(letters[each] for each in values), "words": words}


def _values(column: Mapping[str, Any]) -> Sequence[Any]:
    if "ms" in column:
        dates: list[str] = format_time_ms(np.cumsum(column["ms"])).tolist()
        return dates
    if "of" in column:
        words = dict(zip(string.ascii_letters, column["words"], strict=False))
        return [words[letter] for letter in column["of"]]
    plain: Sequence[Any] = column[""]
    return plain


def _times_ms(texts: Sequence[str]) -> Any:
    """Return dates as Unix milliseconds; None: they are others than `format_time_ms` writes."""
    if not all(map(_DATE.fullmatch, texts)):
        return None
    try:
        return np.array(texts, dtype="datetime64[ms]").astype(np.int64)
    except ValueError:  # a 13th month
        return None
