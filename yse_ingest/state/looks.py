"""Looks: when each target is to be looked at next by who tells people what is late.

A target cannot be late before its look: that is the earliest moment at which it may be, by all
that was known when the look was noted. What could make it late sooner (the target is new or
changed, goes on after a pause, its clock is forgotten) sets its look to 0. So a tick reads the
targets whose look has come, and not a hundred thousand that are well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

AT_ONCE = 1000

NOTE = """
-- KEYS: looks; ARGV: (name known next)...; known "": it had none, next "": it is not followed
for i = 1, #ARGV, 3 do
  local name, known = ARGV[i], ARGV[i + 1]
  local now = redis.call('ZSCORE', KEYS[1], name)
  -- Another one means that the target has changed since it was read.
  if (now and tonumber(now) == tonumber(known)) or (not now and known == '') then
    if ARGV[i + 2] == '' then
      redis.call('ZREM', KEYS[1], name)
    else
      redis.call('ZADD', KEYS[1], ARGV[i + 2], name)
    end
  end
end
return 1
"""


class Look(NamedTuple):
    """One target that was looked at. Unix times [ms]."""

    name: str
    known_ms: int | None
    """When it was to be looked at; None: nobody knew it."""
    next_ms: int | None
    """When it is to be looked at next; None: nobody follows it."""


class Looks:
    """When each target of a namespace is to be looked at next."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._looks = keys("watch", "looks")
        self._basis = keys("watch", "basis")
        self._targets = keys("targets")

    def due(self, now_ms: int | None = None) -> dict[str, int]:
        """Return the targets whose look has come, with its time [Unix ms]; None: all."""
        last = "+inf" if now_ms is None else now_ms
        flat = self._connection.call(
            "ZRANGE", self._looks, "-inf", last, "BYSCORE", "WITHSCORES"
        )
        return {name: int(at) for name, at in zip(flat[::2], flat[1::2], strict=True)}

    def known(self, names: Sequence[str]) -> dict[str, int]:
        """Return when these targets are to be looked at [Unix ms]; unknown ones are missing."""
        found: dict[str, int] = {}
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            scores = self._connection.call("ZMSCORE", self._looks, *some)
            known = zip(some, scores, strict=True)
            found |= {name: int(at) for name, at in known if at is not None}
        return found

    def cover(self, basis: str) -> bool:
        """Tell whether every target has its look, noted by these settings.

        It has none where an older version has added it.
        """
        noted, looks, targets = self._connection.batch(
            [("GET", self._basis), ("ZCARD", self._looks), ("HLEN", self._targets)], atomic=True
        )
        return bool(noted == basis and looks == targets)

    def note(self, looks: Iterable[Look], *, basis: str | None = None) -> None:
        """Note when targets are to be looked at next; what changed meanwhile stays as it is.

        Parameters
        ----------
        looks
            What was looked at.
        basis
            By which settings, where every target was looked at.
        """
        changed = [look for look in looks if look.known_ms != look.next_ms]
        for start in range(0, len(changed), AT_ONCE):
            some = changed[start : start + AT_ONCE]
            args = ["" if part is None else part for look in some for part in look]
            self._connection.run(NOTE, keys=[self._looks], args=args)
        if basis is not None:
            self._connection.call("SET", self._basis, basis)
