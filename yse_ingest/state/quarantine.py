"""Quarantine: refused rows of a source, each with its reason; and what people rejected."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from yse_ingest.state import scripts
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys

Rows = list[dict[str, Any]]
"""Refused rows, oldest first."""

ROWS_PER_TARGET = 500
"""So many refused rows are kept per target; the oldest go first."""
KINDS_MAX = 200
"""So many kinds of refusal are noted, and"""
KIND_LENGTH = 120
"""so many characters of their reasons."""
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
        self._targets = keys("quarantines")
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
        fields: list[str] = []
        for row in rows:
            kept = _kept(row, now_ms=now_ms)
            fields += [_identity(kept), dumps(kept)]
        if not fields:
            return 0
        name = canonical_name(target)
        self._note_kinds(map(loads, fields[1::2]), target=name, now_ms=now_ms)
        return int(
            self._connection.run(
                scripts.QUARANTINE_PUT,
                keys=[self._rows(name), self._order(name), self._targets],
                args=[name, ROWS_PER_TARGET, now_ms, *fields],
            )
        )

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
        name = canonical_name(target)
        count, *_ = self._connection.batch(
            [
                ("HLEN", self._rows(name)),
                ("DEL", self._rows(name), self._order(name)),
                ("SREM", self._targets, name),
            ],
            atomic=True,
        )
        return int(count)

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
        known = self.refusals(target)
        now_ms = self._connection.now_ms()
        fields: list[str] = []
        for native_id, values in points.items():
            before = known.get(native_id)
            times = before.times + 1 if before and before.values == values else 1
            apart_s = wait_s * min(2.0 ** (times - 1), REFUSALS_APART_MAX)
            refusal = RefusedPoint(values, times, now_ms + int(1000 * apart_s))
            fields += [native_id, dumps(refusal._asdict())]
        if fields:
            self._connection.call("HSET", self._refused(canonical_name(target)), *fields)

    def refusals(self, target: str) -> dict[str, RefusedPoint]:
        """Return what YSE-PZ refused, by native id."""
        raw = self._connection.call(*self.read_of(target).command)
        return {native_id: RefusedPoint(**loads(text)) for native_id, text in raw.items()}

    def read_of(self, target: str) -> Read:
        """Return what `refusals` and `retries` read."""
        return Read(("HGETALL", self._refused(canonical_name(target))))

    def refused(self, target: str) -> dict[str, str]:
        """Return what is not to be sent yet: native id to the values that were refused."""
        now_ms = self._connection.now_ms()
        return {
            native_id: each.values
            for native_id, each in self.refusals(target).items()
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
            self._connection.call("DEL", self._refused(name))
            return self.clear(name) + rejected
        raw = self._connection.call("HGETALL", self._rows(name))
        fields = [field for field, text in raw.items() if loads(text)["native_id"] == native_id]
        if fields:
            self._connection.batch(
                [
                    ("HDEL", self._rows(name), *fields),
                    ("ZREM", self._order(name), *fields),
                ],
                atomic=True,
            )
        self._connection.call("HDEL", self._refused(name), native_id)
        return len(fields) + int(self.accept(name, native_id))

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
        names = sorted(self._connection.call("SMEMBERS", self._targets))
        return [row for name in names for row in self._of(name)]

    def _of(self, target: str) -> Rows:
        name = canonical_name(target)
        raw = self._connection.call("HVALS", self._rows(name))
        rows = ({"target": name, **loads(text)} for text in raw)
        return sorted(rows, key=lambda row: (row["at_ms"], row["native_id"] or ""))

    def _rows(self, name: str) -> str:
        return self._keys("quarantine", name)

    def _refused(self, name: str) -> str:
        return self._keys("refused", name)

    def _order(self, name: str) -> str:
        return self._keys("quarantine", name, "order")


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


def _identity(kept: Mapping[str, Any]) -> str:
    """Return what makes a refused row the same: native id and reason, else its text."""
    parts = [kept["native_id"], kept["field"], kept["reason"]]
    if not kept["native_id"]:
        parts.append(kept["raw"])
    return hashlib.sha256(dumps(parts).encode()).hexdigest()[:20]
