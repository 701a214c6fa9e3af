"""Quarantine: refused rows of a source, each with its reason; and what people rejected."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from yse_ingest.state.packed import PackedHash
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yse_ingest.state.connection import Connection, Read
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys

Rows = list[dict[str, Any]]
"""Refused rows, oldest first."""
_Kept = list[list[Any]]
"""The same, each as its `_PARTS`."""

ROWS_PER_TARGET = 500
"""So many refused rows are kept per target; the oldest go first."""
KINDS_MAX = 200
"""So many kinds of refusal are noted, and"""
KIND_LENGTH = 120
"""so many characters of their reasons."""
_PARTS = ("at_ms", "field", "native_id", "raw", "reason", "source", "value")
"""What is kept of a row, in this order."""
EXCERPT_LENGTH = 500
"""So many characters of the raw row are kept."""
REFUSALS_APART_MAX = 168
"""A point that YSE-PZ keeps refusing is tried again at last after so many first waits."""


class RefusedPoint(NamedTuple):
    """A point that YSE-PZ refused by itself."""

    values: str
    """Hash of its values then."""
    times: int
    """How often it was refused with these."""
    until_ms: int
    """When it is sent again [Unix ms]."""


class Quarantine:
    """Refused rows by target. A row is kept once per reason, however often it comes."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self._keys = keys
        self._decisions = decisions
        self._rows = PackedHash(connection, keys("quarantine"))
        self._refused = PackedHash(connection, keys("refused"))
        self._kinds = keys("quarantine:kinds")

    def put(self, target: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Keep refused rows of a target; return how many were not known.

        Parameters
        ----------
        target
            Its name.
        rows
            ``native_id``, ``field``, ``value``, ``reason``, ``source``, ``raw``: what is
            missing is null; value and raw are kept as text, ``raw`` cut to 500 characters.
        """
        now_ms = self._connection.now_ms()
        kept = {_identity(each): each for each in (_kept(row, now_ms=now_ms) for row in rows)}
        if not kept:
            return 0
        name = canonical_name(target)
        self._note_kinds(kept.values(), target=name, now_ms=now_ms)

        def added(known: _Kept | None) -> _Kept:
            before = list(map(_row, known or []))
            new = kept.keys() - set(map(_identity, before))
            rows = [*before, *(each for identity, each in kept.items() if identity in new)]
            return kept_rows(rows[-ROWS_PER_TARGET:])

        before = self._rows.change(name, added)
        return len(kept.keys() - {_identity(_row(each)) for each in before or []})

    def _note_kinds(
        self, rows: Iterable[Mapping[str, Any]], *, target: str, now_ms: int
    ) -> None:
        known = set(self._connection.call("HKEYS", self._kinds))
        new = {kind_of(row, target=target) for row in rows} - known
        for kind in sorted(new)[: max(0, KINDS_MAX - len(known))]:
            self._connection.call("HSETNX", self._kinds, kind, now_ms)

    def kinds(self) -> dict[tuple[str, str, str], int]:
        """Return when each kind of refusal was first seen: by source, field and reason.

        Numbers within reasons are written as "#": they differ from row to row.
        """
        raw = self._connection.call("HGETALL", self._kinds)
        return {
            (source, field, reason): int(first_ms)
            for kind, first_ms in raw.items()
            for source, field, reason in [kind.split("|", 2)]
        }

    def known(self, target: str) -> set[str]:
        """Return the native ids of a target's refused rows."""
        return {row["native_id"] for row in self._of(target) if row["native_id"] is not None}

    def explain(self, target: str, native_id: str) -> Rows:
        """Return every refused row of one native id, as `list`."""
        return [row for row in self._of(target) if row["native_id"] == str(native_id)]

    def clear(self, target: str) -> int:
        """Forget the refused rows of a target; return how many there were."""
        return len(self._rows.change(canonical_name(target), lambda _: None) or [])

    def refuse(self, target: str, points: Mapping[str, str], *, wait_s: float) -> None:
        """Remember what YSE-PZ refused, so that it is not sent again at once.

        A server whose mail is down refuses good points, too: each is tried again after
        ``wait_s``, which doubles with every refusal of the same values, up to
        `REFUSALS_APART_MAX` times.

        Parameters
        ----------
        points
            Native id to the values with which it was refused.
        """
        now_ms = self._connection.now_ms()

        def again(known: dict[str, Any] | None) -> dict[str, Any] | None:
            refusals = dict(known or {})
            for native_id, values in points.items():
                before = RefusedPoint(*refusals.get(native_id, (None, 0, 0)))
                times = before.times + 1 if before.values == values else 1
                apart_s = wait_s * min(2.0 ** (times - 1), REFUSALS_APART_MAX)
                refusals[native_id] = [values, times, now_ms + int(1000 * apart_s)]
            return refusals or None

        self._refused.change(canonical_name(target), again)

    def refusals(self, target: str) -> dict[str, RefusedPoint]:
        """Return what YSE-PZ refused, by native id."""
        known = self._refused.get(canonical_name(target)) or {}
        return {native_id: RefusedPoint(*each) for native_id, each in known.items()}

    def read_of(self, target: str) -> Read:
        """Return what `refusals`, `refused` and `retries` read."""
        return self._refused.read_of(canonical_name(target))

    def refused(self, target: str) -> dict[str, str]:
        """Return what is not to be sent yet: native id to the values that were refused."""
        known = self.refusals(target)
        now_ms = self._connection.now_ms() if known else 0
        return {
            native_id: each.values
            for native_id, each in known.items()
            if each.until_ms > now_ms
        }

    def retries(self, target: str, *, since_ms: int) -> bool:
        """Tell whether the wait of a refused point has ended after a time, Unix time [ms]."""
        ends = [each.until_ms for each in self.refusals(target).values()]
        now_ms = self._connection.now_ms() if ends else 0
        return any(since_ms < end <= now_ms for end in ends)

    def release(self, target: str, native_id: str | None = None) -> int:
        """Forget refused rows, of one native id or all, so that they are tried again.

        Returns how many rows there were, a rejection among them.
        """
        name = canonical_name(target)
        if native_id is None:
            rejected = sum(self.accept(name, each) for each in self.rejected(name))
            self._refused.drop([name])
            return self.clear(name) + rejected

        def others(rows: _Kept | None) -> _Kept | None:
            return [each for each in rows or [] if _row(each)["native_id"] != native_id] or None

        def other_points(known: dict[str, Any] | None) -> dict[str, Any] | None:
            return {
                key: each for key, each in (known or {}).items() if key != native_id
            } or None

        before = self._rows.change(name, others) or []
        self._refused.change(name, other_points)
        released = len(before) - len(others(before) or [])
        return released + int(self.accept(name, native_id))

    def reject(self, target: str, native_id: str, reason: str) -> None:
        """Never send this row of the source: a person's decision."""
        name = canonical_name(target)
        self._connection.batch(
            [
                ("HSET", self._keys("rejected", name), native_id, reason),
                ("SADD", self._keys("rejections"), name),
            ],
            atomic=True,
        )
        self._decisions.append("rejected", target=name, native_id=native_id, reason=reason)

    def accept(self, target: str, native_id: str) -> bool:
        """Take a rejection back; return whether there was one."""
        name = canonical_name(target)
        known = bool(self._connection.call("HDEL", self._keys("rejected", name), native_id))
        if known:
            self._decisions.append("accepted", target=name, native_id=native_id)
        return known

    def rejected(self, target: str) -> dict[str, str]:
        """Return the native ids that people rejected, with their reasons."""
        reply: dict[str, str] = self._connection.call(
            "HGETALL", self._keys("rejected", canonical_name(target))
        )
        return reply

    def rejections(self) -> dict[str, dict[str, str]]:
        """Return every rejection, by target and native id."""
        names = sorted(self._connection.call("SMEMBERS", self._keys("rejections")))
        return {name: rows for name in names if (rows := self.rejected(name))}

    def list(self, target: str | None = None) -> Rows:
        """Return the refused rows of a target, or of all: oldest first, with ``target``."""
        if target is not None:
            return self._of(target)
        every = self._rows.many(self._rows.names())
        return [row for name, rows in every.items() for row in _shown(name, rows)]

    def _of(self, target: str) -> Rows:
        name = canonical_name(target)
        return _shown(name, self._rows.get(name) or [])


def kept_rows(rows: Iterable[Mapping[str, Any]]) -> _Kept:
    """Return refused rows, oldest first, as they are kept."""
    return [[each[part] for part in _PARTS] for each in rows]


def _row(parts: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(_PARTS, parts, strict=True))


def _shown(target: str, rows: Iterable[Sequence[Any]]) -> Rows:
    found = ({"target": target, **_row(each)} for each in rows)
    return sorted(found, key=lambda row: (row["at_ms"], row["native_id"] or ""))


def kind_of(row: Mapping[str, Any], *, target: str) -> str:
    """Return what makes refusals of one kind: "source|field|reason", without the target."""
    reason = (row["reason"] or "").replace(target, "*")
    reason = re.sub(r"-?\d[\d.e+-]*", "#", reason)[:KIND_LENGTH]
    return f"{row['source'] or ''}|{row['field'] or ''}|{reason}"


def _kept(row: Mapping[str, Any], *, now_ms: int) -> dict[str, Any]:
    texts = {name: row.get(name) for name in ("native_id", "field", "reason", "source")}
    kept: dict[str, Any] = {
        name: None if value is None else str(value) for name, value in texts.items()
    }
    for name in ("value", "raw"):
        value = row.get(name)
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        kept[name] = None if value is None else text[:EXCERPT_LENGTH]
    return {**kept, "at_ms": now_ms}


def _identity(kept: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what makes a refused row the same: native id and reason, else its text."""
    return (
        kept["native_id"],
        kept["field"],
        kept["reason"],
        None if kept["native_id"] else kept["raw"],
    )
