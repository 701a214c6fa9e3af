"""The meter of a source: how often all workers and hosts together may ask it.

Each request reserves the moment at which it is sent. With ``count`` requests allowed in a
window, it is sent no earlier than a window after the last one but ``count``: no window holds
more, whoever asks, and whoever waits has a place of its own. Targets whose source has nothing
left stand in a line; the first of it are let through first, however many come later.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import StateError
from yse_ingest.meter import MARGIN_S, LocalMeter, Rate, held_back, spent
from yse_ingest.state.scripts import _NOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
GRACE_S = 300.0
"""Who does not come back so long after its turn has left the line [s]."""

_RATES = """
-- Rates stand in pairs of count and window [ms], from ARGV[first] on.
local function longest(first)
  local found = 0
  for at = first, #ARGV, 2 do found = math.max(found, tonumber(ARGV[at + 1])) end
  return found
end
local function closed()
  return tonumber(redis.call('HGET', KEYS[2], 'until_ms') or '0')
end
"""

TAKE = (
    _NOW
    + _RATES
    + """
-- KEYS: taken pause minutes; ARGV: id after_ms patience_ms, rates
-- {"taken", wait}, or {"wait", wait, number of the rate that is spent; 0: it is closed}
local after, patience = tonumber(ARGV[2]), tonumber(ARGV[3])
local keep = longest(4)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - keep)
local slot, spent = now + after, -1
if closed() > slot then slot, spent = closed(), 0 end
for at = 4, #ARGV, 2 do
  local last = redis.call('ZRANGE', KEYS[1], -ARGV[at], -ARGV[at], 'WITHSCORES')
  if last[2] and tonumber(last[2]) + ARGV[at + 1] > slot then
    slot, spent = tonumber(last[2]) + ARGV[at + 1], (at - 2) / 2
  end
end
local wait = slot - now
if wait > math.max(patience, after) then return {'wait', wait, spent} end
if keep > 0 then
  redis.call('ZADD', KEYS[1], slot, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], math.ceil(keep + wait))
end
local minute = math.floor(slot / 60000)
if redis.call('HINCRBY', KEYS[3], minute, 1) == 1 then
  for _, old in ipairs(redis.call('HKEYS', KEYS[3])) do
    if tonumber(old) < minute - 60 then redis.call('HDEL', KEYS[3], old) end
  end
end
redis.call('PEXPIRE', KEYS[3], 7200000)
return {'taken', wait}
"""
)

PAUSE = (
    _NOW
    + """
-- KEYS: pause; ARGV: length_ms why
local ends = now + ARGV[1]
if ends <= tonumber(redis.call('HGET', KEYS[1], 'until_ms') or '0') then return 0 end
redis.call('HSET', KEYS[1], 'until_ms', ends, 'why', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)

ADMIT = (
    _NOW
    + _RATES
    + """
-- KEYS: taken pause line seen; ARGV: name batch grace_ms, rates
-- How long this target waits for its turn [ms], and for what; 0: it may be asked for now.
for _, gone in ipairs(redis.call('ZRANGE', KEYS[4], '-inf', now, 'BYSCORE')) do
  redis.call('ZREM', KEYS[3], gone)
  redis.call('ZREM', KEYS[4], gone)
end
local name, batch = ARGV[1], tonumber(ARGV[2])
local function place() return redis.call('ZRANK', KEYS[3], name) end
local function ahead()
  -- Requests that those before it in the line need.
  return math.floor((place() or redis.call('ZCARD', KEYS[3])) / batch)
end
local wait, spent = 0, 0
if closed() > now then wait = closed() - now end
for at = 4, #ARGV, 2 do
  local count, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local held = redis.call('ZCOUNT', KEYS[1], '(' .. (now - window), '+inf')
  local short = ahead() + 1 - (count - held)
  if short > 0 then
    local free = now + window * (1 + math.ceil((short - held) / count))
    if short <= held then
      -- The one that has to leave the window before its turn comes.
      local index = redis.call('ZCARD', KEYS[1]) - held + short - 1
      free = redis.call('ZRANGE', KEYS[1], index, index, 'WITHSCORES')[2] + window
    end
    if free - now > wait then wait, spent = free - now, (at - 2) / 2 end
  end
end
if wait > 0 and #ARGV > 3 then redis.call('ZADD', KEYS[3], 'NX', now_us, name) end
if place() then redis.call('ZADD', KEYS[4], now + wait + ARGV[3], name) end
return {wait, spent}
"""
)


class SharedMeter:
    """Counts the requests of all workers and hosts to one source; see `Meter`.

    Where Redis gives no answer, this process counts for itself: whoever asks without Redis is a
    person at a terminal.

    Parameters
    ----------
    source, service
        Its name in settings, and in messages.
    rates
        What is allowed; none: all that is asked for.
    batch_size
        Targets that one request is for.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        source: str,
        *,
        service: str,
        rates: Sequence[Rate] = (),
        batch_size: int = 1,
    ) -> None:
        self._connection = connection
        self.service = service
        self.rates = tuple(rates)
        self._batch_size = batch_size
        self._own = LocalMeter(service, rates)
        self._taken = keys("meter", source)
        self._pause = keys("meter", source, "pause")
        self._minutes = keys("meter", source, "minutes")
        self._line = keys("meter", source, "line")
        self._seen = keys("meter", source, "seen")
        self._pairs = [
            value
            for rate in rates
            for value in (rate.count, round(1000 * (rate.window_s + MARGIN_S)))
        ]

    def take(self, *, patience_s: float, after_s: float = 0.0) -> float:
        """Reserve one request; see `yse_ingest.meter.Meter.take`."""
        try:
            word, wait_ms, *reason = self._connection.run(
                TAKE,
                keys=[self._taken, self._pause, self._minutes],
                args=[uuid.uuid4().hex, _ms(after_s), _ms(patience_s), *self._pairs],
            )
        except StateError as error:
            logger.warning("counted by this process alone", extra={"error": str(error)})
            return self._own.take(patience_s=patience_s, after_s=after_s)
        wait_s = int(wait_ms) / 1000
        if word == "wait":
            raise held_back(self.service, wait_s, why=self._why(int(reason[0])))
        return wait_s

    def pause(self, seconds: float, *, why: str) -> None:
        """Let nobody ask for so long: the source said so [s]."""
        self._own.pause(seconds, why=why)
        try:
            self._connection.run(PAUSE, keys=[self._pause], args=[max(1, _ms(seconds)), why])
        except StateError as error:
            logger.warning("pause not passed on", extra={"error": str(error)})

    def closed(self) -> bool:
        """Tell whether nobody may ask now; see `yse_ingest.meter.Meter.closed`."""
        try:
            until_ms = self._connection.call("HGET", self._pause, "until_ms")
            return until_ms is not None and int(until_ms) > self._connection.now_ms()
        except StateError:
            return self._own.closed()

    def admit(self, name: str) -> tuple[float, str]:
        """Return how long a target has to wait for its turn [s], and why; 0: not at all.

        It keeps its place in the line until it has `left`.
        """
        if not self._pairs and not self._connection.call("EXISTS", self._pause):
            return 0.0, ""
        wait_ms, reason = self._connection.run(
            ADMIT,
            keys=[self._taken, self._pause, self._line, self._seen],
            args=[name, self._batch_size, _ms(GRACE_S), *self._pairs],
        )
        return int(wait_ms) / 1000, self._why(int(reason)) if int(wait_ms) else ""

    def leave(self, name: str) -> None:
        """Take a target out of the line: it was asked for."""
        if self._pairs:
            self._connection.batch([("ZREM", self._line, name), ("ZREM", self._seen, name)])

    def state(self) -> dict[str, Any]:
        """Return the meter for people and for JSON.

        ``requests_hour``; ``rates`` as text to the requests of the window that runs;
        ``waiting`` targets; ``closed_until_ms`` [Unix ms] or None, and ``why``.
        """
        now_ms = self._connection.now_ms()
        minutes, pause, waiting = self._connection.batch(
            [
                ("HGETALL", self._minutes),
                ("HGETALL", self._pause),
                ("ZCOUNT", self._seen, now_ms, "+inf"),
            ]
        )
        used = self._connection.batch(
            [
                ("ZCOUNT", self._taken, f"({now_ms - round(1000 * rate.window_s)}", "+inf")
                for rate in self.rates
            ]
        )
        since = (now_ms - HOUR_MS) // MINUTE_MS
        return {
            "requests_hour": sum(
                int(count) for minute, count in minutes.items() if int(minute) > since
            ),
            "rates": {str(rate): int(n) for rate, n in zip(self.rates, used, strict=True)},
            "waiting": int(waiting),
            "closed_until_ms": int(pause["until_ms"]) if pause else None,
            "why": pause.get("why", ""),
        }

    def _why(self, number: int) -> str:
        if number > 0:
            return spent(self.rates[number - 1])
        return str(self._connection.call("HGET", self._pause, "why") or "it asked us to wait")


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
