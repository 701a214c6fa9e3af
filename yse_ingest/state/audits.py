"""Audits: what is to be looked at now, what was found, and what stopped because of it.

A stop (a second installation) and a set-back (YSE-PZ is an older copy) wait for a person, so
they are kept as decisions too. The rest is derivable: the next audits find it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.audit import Writer
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.decisions import DecisionLog
    from yse_ingest.state.keys import Keys

WRITER_FORGOTTEN_MS = 30 * 86_400_000
"""A second writer that wrote nothing new for so long is told no more [ms]."""


class Audits:
    """What the comparison of ledgers with YSE-PZ has left to do, and to tell."""

    def __init__(self, connection: Connection, keys: Keys, decisions: DecisionLog) -> None:
        self._connection = connection
        self._decisions = decisions
        self._wanted = keys("audit", "wanted")
        self._unproven = keys("audit", "unproven")
        self._gone = keys("audit", "gone")
        self._found = keys("audit", "found")
        self._stops = keys("audit", "stops")
        self._hidden = keys("audit", "hidden")
        self._writers = keys("audit", "writers")
        self._set_back = keys("audit", "set_back")

    # What is to be looked at ----------------------------------------------------------------

    def want(self, key: str) -> None:
        """Have the next upload of a transient read back and compare, whatever it sends."""
        self._connection.call("SADD", self._wanted, key)

    def wanted(self, key: str) -> bool:
        """Tell whether a comparison is wanted."""
        return bool(self._connection.call("SISMEMBER", self._wanted, key))

    def owe_proof(self, key: str) -> None:
        """Note that a transient's upload was accepted, and had no time to be proven."""
        self._connection.call("ZADD", self._unproven, "NX", self._connection.now_ms(), key)

    def proof_owed(self, key: str) -> bool:
        """Tell whether a proof is owed."""
        return self._connection.call("ZSCORE", self._unproven, key) is not None

    def unproven(self, limit: int) -> list[str]:
        """Return the transients whose proof is owed, the oldest first."""
        keys: list[str] = self._connection.call("ZRANGE", self._unproven, 0, limit - 1)
        return keys

    def put_proof_off(self, key: str) -> None:
        """Let others be proven first: this transient is not to be had now."""
        self._connection.call("ZADD", self._unproven, "XX", self._connection.now_ms(), key)

    def forget_proof(self, key: str) -> None:
        """Owe no proof: nothing is known of the transient any more."""
        self._connection.call("ZREM", self._unproven, key)

    def done(self, key: str, found: Mapping[str, int]) -> None:
        """Note what a comparison found."""
        now_ms = self._connection.now_ms()
        self._connection.batch(
            [
                ("SREM", self._wanted, key),
                ("ZREM", self._unproven, key),
                ("HSET", self._found, key, dumps({**found, "at_ms": now_ms})),
            ]
        )

    def found(self, key: str) -> dict[str, int]:
        """Return what the last comparison found by kind, and ``at_ms``; {}: there was none."""
        raw = self._connection.call("HGET", self._found, key)
        found: dict[str, int] = {} if raw is None else loads(raw)
        return found

    def all_found(self) -> dict[str, dict[str, int]]:
        """Return what `found` does, for every transient."""
        raw = self._connection.call("HGETALL", self._found)
        return {key: loads(text) for key, text in raw.items()}

    # Headers that we do not see ------------------------------------------------------------

    def note_hidden(self, key: str, shelf: tuple[str, str]) -> None:
        """Note that nothing is shown of what a transient's header took.

        Parameters
        ----------
        key
            The transient.
        shelf
            Instrument and obs_group.
        """
        shelves = {*self.hidden(key), shelf}
        self._connection.call("HSET", self._hidden, key, dumps(sorted(shelves)))

    def hidden(self, key: str) -> set[tuple[str, str]]:
        """Return the headers of a transient that took points and showed none of them."""
        raw = self._connection.call("HGET", self._hidden, key)
        return {(instrument, group) for instrument, group in loads(raw or "[]")}

    def forget_hidden(self, key: str, shelf: tuple[str, str]) -> None:
        """Note that a header shows what it took."""
        if shelves := self.hidden(key) - {shelf}:
            self._connection.call("HSET", self._hidden, key, dumps(sorted(shelves)))
        else:
            self._connection.call("HDEL", self._hidden, key)

    # YSE-PZ was set back --------------------------------------------------------------------

    def note_gone(self, transient_id: int, *, round_s: float) -> list[int]:
        """Note that rows of a transient are gone; return all such transients of this round."""
        now_ms = self._connection.now_ms()
        replies = self._connection.batch(
            [
                ("ZREMRANGEBYSCORE", self._gone, "-inf", now_ms - round(round_s * 1000)),
                ("ZADD", self._gone, "NX", now_ms, transient_id),
                ("ZRANGE", self._gone, 0, -1),
            ]
        )
        return [int(member) for member in replies[-1]]

    def gone_since_ms(self) -> int:
        """Return since when rows of this round are gone [Unix ms]; 0: none are."""
        first = self._connection.call("ZRANGE", self._gone, 0, 0, "WITHSCORES")
        return int(first[1]) if first else 0

    def put_set_back(self, since_ms: int) -> None:
        """Note that YSE-PZ was set back: what was gone since then is no person's doing."""
        self._connection.call("SET", self._set_back, since_ms)
        self._decisions.append("set_back", since_ms=since_ms)

    def set_back_ms(self) -> int | None:
        """Return since when rows are gone of a YSE-PZ that was set back [Unix ms], or None."""
        raw = self._connection.call("GET", self._set_back)
        return None if raw is None else int(raw)

    def end_set_back(self) -> None:
        """Note that a person has decided what becomes of the rows."""
        known = self._connection.call("DEL", self._set_back, self._gone)
        if known:
            self._decisions.append("set_back_over")

    # Second installation --------------------------------------------------------------------

    def stop(self, key: str, reason: str) -> None:
        """Send nothing to a transient until `take`."""
        self._connection.call("HSET", self._stops, key, reason)
        self._decisions.append("stopped", key=key, reason=reason)

    def take(self, key: str) -> bool:
        """End a stop: a person takes what stands there as ours; False: there was none."""
        was_stopped = bool(self._connection.call("HDEL", self._stops, key))
        if was_stopped:
            self._decisions.append("taken", key=key)
        return was_stopped

    def stopped(self, key: str) -> str | None:
        """Return why nothing is sent to a transient, or None."""
        reason: str | None = self._connection.call("HGET", self._stops, key)
        return reason

    def stops(self) -> dict[str, str]:
        """Return every stop with its reason, by transient."""
        reply: dict[str, str] = self._connection.call("HGETALL", self._stops)
        return reply

    # Second writers -------------------------------------------------------------------------

    def note_writers(self, name: str, writers: Iterable[Writer]) -> None:
        """Note who else writes where we write in a transient."""
        now_ms = self._connection.now_ms()
        flat = [part for each in writers for part in (dumps([*each, name]), now_ms)]
        if flat:
            self._connection.call("HSET", self._writers, *flat)

    def writers(self) -> list[dict[str, Any]]:
        """Return second writers: account, instrument, obs_group, targets, last_ms."""
        oldest_ms = self._connection.now_ms() - WRITER_FORGOTTEN_MS
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for text, last_ms in self._connection.call("HGETALL", self._writers).items():
            if int(last_ms) < oldest_ms:
                self._connection.call("HDEL", self._writers, text)
                continue
            *who, name = loads(text)
            parts = dict(zip(("account", "instrument", "obs_group"), who, strict=True))
            entry = found.setdefault(tuple(who), {**parts, "targets": [], "last_ms": 0})
            entry["targets"].append(name)
            entry["last_ms"] = max(entry["last_ms"], int(last_ms))
        return [
            {**found[who], "targets": sorted(found[who]["targets"])} for who in sorted(found)
        ]
