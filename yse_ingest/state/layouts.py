"""Layouts: what an older version wrote, brought into the one of today.

Layout 1 gave every ledger, clock, receipt and refused row a key of its own, as text; layout 2
packs them into a few hashes. What people decided is the same in both. It is safe to repeat, and
to be done by several processes at once: what stands in its new place stays as it is.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from typing import TYPE_CHECKING, Any

from yse_ingest.ledger import Ledger, Slot
from yse_ingest.state.clocks import Clock, kept_clocks
from yse_ingest.state.connection import Read
from yse_ingest.state.ledgers import packed_ledger
from yse_ingest.state.packed import PackedHash
from yse_ingest.state.quarantine import kept_rows
from yse_ingest.state.receipts import kept_receipts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

    Command = tuple[Any, ...]

_AT_ONCE = 1000
_DAMAGED = "damaged"


def pack_first_layout(connection: Connection, keys: Keys) -> dict[str, int]:
    """Bring a state of layout 1 into layout 2; return how many of each kind were moved.

    What is damaged is counted and forgotten: all of it is derivable.
    """
    counts: dict[str, int] = {}
    for page in _pages(connection, keys("*")):
        kinds = {key: kind for key in page if (kind := _kind_of(key, keys)) is not None}
        reads = {
            key: Read((*_READS[kind], key, *_ALL.get(kind, ())), binary=True)
            for key, kind in kinds.items()
        }
        commands: list[Command] = []
        with connection.reading_ahead(reads.values()):
            for key, kind in kinds.items():
                raw = connection.call(*reads[key].command, binary=True)
                moved, done = _moved(connection, key, kind, raw, keys)
                commands += done
                counts[moved] = counts.get(moved, 0) + 1
        orders = [key for key in page if _is_order(key, keys)]
        commands += [("DEL", *orders)] if orders else []
        if commands:
            connection.batch(commands, atomic=True)
    connection.call("DEL", keys("quarantines"))
    return counts


def _pages(connection: Connection, pattern: str) -> Iterator[list[str]]:
    cursor = 0
    while True:
        cursor, found = connection.call("SCAN", cursor, "MATCH", pattern, "COUNT", _AT_ONCE)
        yield found
        if int(cursor) == 0:
            return


def _kind_of(key: str, keys: Keys) -> str | None:
    """Return what a key of layout 1 holds; None: it stays as it is."""
    part = key.removeprefix(keys(""))
    if part == "quarantine:kinds" or _is_order(key, keys):
        return None
    return next((kind for kind in _READS if part.startswith(f"{kind}:")), None)


def _is_order(key: str, keys: Keys) -> bool:
    """Tell whether a key holds the order of refused rows: each row tells its time, too."""
    return key.startswith(keys("quarantine", "")) and key.endswith(":order")


def _moved(
    connection: Connection, key: str, kind: str, raw: Any, keys: Keys
) -> tuple[str, list[Command]]:
    """Return what was found, and the commands that bring it to its place."""
    name = key.removeprefix(keys(kind, ""))
    if not raw:
        return "moved", []  # another process was first
    try:
        packed = _packed(connection, key, kind, raw, keys)
    # What is damaged may fail anywhere: checksum, JSON, its keys, their types, the rows.
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        forget = [("ZREM", keys(f"{kind}s"), name)] if kind.endswith("ledger") else []
        return _DAMAGED, [("DEL", key), *forget]
    return kind, [("HSETNX", keys(kind), name, packed), ("DEL", key)]


def _packed(connection: Connection, key: str, kind: str, raw: Any, keys: Keys) -> bytes:
    """Return a value of layout 1 as layout 2 keeps it."""
    if kind.endswith("ledger"):
        return _ledger(raw)
    if kind == "resolution":
        left_ms = max(0, int(connection.call("PTTL", key)))
        kept: Any = [round(1000 * time.time()) + left_ms, json.loads(raw)]
    else:
        kept = _KEPT[kind](raw)
    name = key.removeprefix(keys(kind, ""))
    return PackedHash(connection, keys(kind)).pack(name, kept)


def _ledger(raw: dict[bytes, bytes]) -> bytes:
    about, points = json.loads(raw[b"meta"]), raw[b"points"]
    if zlib.crc32(points) != about["crc"]:
        msg = "the checksum differs"
        raise ValueError(msg)
    ledger = Ledger.unpack(
        points,
        slots=tuple(Slot(*slot) for slot in about["slots"]),
        gaps=about["gaps"],
        read_back_ms=about["read_back_ms"],
    )
    return packed_ledger(ledger, about["name"], about["slug"])


def _clock(raw: dict[bytes, bytes]) -> dict[str, Any]:
    sources: dict[str, dict[str, Any]] = {}
    for label, text in _texts(raw).items():
        source, part = label.rsplit("|", 1)
        known = sources.setdefault(source, {"detail": {}})
        if part.startswith("."):
            known["detail"][part[1:]] = json.loads(text)
        elif part == "detail":
            known["detail"] = json.loads(text) | known["detail"]
        else:
            known[part] = int(text) if part.endswith("_ms") else text
    return kept_clocks({source: Clock(**parts) for source, parts in sources.items()})


def _receipts(raw: list[bytes]) -> list[Any]:
    return kept_receipts(
        [
            json.loads(
                each if each.startswith(b"{") else zlib.decompress(base64.b85decode(each))
            )
            for each in raw
        ]
    )


def _rows(raw: dict[bytes, bytes]) -> list[Any]:
    rows = [json.loads(text) for text in _texts(raw).values()]
    return kept_rows(sorted(rows, key=lambda row: (row["at_ms"], row["native_id"] or "")))


def _refused(raw: dict[bytes, bytes]) -> dict[str, Any]:
    points = {native_id: json.loads(text) for native_id, text in _texts(raw).items()}
    return {
        native_id: [point["values"], point["times"], point["until_ms"]]
        for native_id, point in points.items()
    }


def _waiting(raw: set[bytes]) -> list[str]:
    return sorted(each.decode() for each in raw)


def _texts(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): text.decode() for name, text in raw.items()}


_READS: dict[str, tuple[str, ...]] = {
    "ledger": ("HGETALL",),
    "shadow:ledger": ("HGETALL",),
    "clock": ("HGETALL",),
    "receipts": ("LRANGE",),
    "quarantine": ("HGETALL",),
    "refused": ("HGETALL",),
    "waiting": ("SMEMBERS",),
    "resolution": ("GET",),
}
_ALL: dict[str, tuple[int, ...]] = {"receipts": (0, -1)}
_KEPT: dict[str, Callable[[Any], Any]] = {
    "clock": _clock,
    "receipts": _receipts,
    "quarantine": _rows,
    "refused": _refused,
    "waiting": _waiting,
}
