"""Heartbeats: when each kind of work was last done, by whoever did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

BEAT = """
-- KEYS: heartbeats; ARGV: work
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], time[1] * 1000 + math.floor(time[2] / 1000))
return 1
"""


class Heartbeats:
    """Times of Redis, by the name of the work: "queue:fetch", "dispatch", "drain", "sweep"."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._key = keys("heartbeats")

    def beat(self, work: str) -> None:
        """Note that this work has just been done. Safe to repeat."""
        self._connection.run(BEAT, keys=[self._key], args=[work])

    def all(self) -> dict[str, int]:
        """Return when each work was last done [Unix ms]; what never was is missing."""
        raw = self._connection.call("HGETALL", self._key)
        return {work: int(done_ms) for work, done_ms in raw.items()}
