"""Notices: which conditions hold, which were told, and what is still to be told to whom.

Comparing and writing down what changed is one script, so that two watchers tell once. A change
stays in the list of a channel until a message with it was sent there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

PENDING_MAX = 1000
"""So many changes wait per channel; the oldest go first."""
HOUR_MS = 3_600_000
AT_ONCE = 200
"""So many conditions are compared by one script."""

COMPARE = """
-- KEYS: conditions, then the list of each channel
-- ARGV: now_ms, hold_ms, pending_max, number of present conditions, these, keys of absent ones
local now, hold, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local last = 4 + tonumber(ARGV[4])
local told = {}

local function tell(what, key, record)
  told[#told + 1] = key
  for channel = 2, #KEYS do
    redis.call('RPUSH', KEYS[channel], cjson.encode({
      what = what, key = key, at_ms = now, since_ms = record.since_ms, fact = record.fact,
      remedy = record.remedy, safe = record.safe, over = record.over}))
    redis.call('LTRIM', KEYS[channel], -most, -1)
  end
end

for number = 5, last do
  local condition = cjson.decode(ARGV[number])
  local key = condition.key
  local known = redis.call('HGET', KEYS[1], key)
  known = known and cjson.decode(known) or {first_ms = now, told = false}
  condition.first_ms = known.first_ms
  condition.told = known.told
  if known.told then
    condition.since_ms = known.since_ms
  else
    if type(condition.since_ms) ~= 'number' then condition.since_ms = known.first_ms end
    local due = now - condition.since_ms >= condition.limit_ms
      and (condition.at_once or now - known.first_ms >= hold)
    -- Nobody listens: it is told when somebody does.
    if due and not condition.explained and #KEYS > 1 then
      condition.told = true
      tell('began', key, condition)
    end
  end
  redis.call('HSET', KEYS[1], key, cjson.encode(condition))
end

for number = last + 1, #ARGV do
  local key = ARGV[number]
  local stored = redis.call('HGET', KEYS[1], key)
  if stored then
    local record = cjson.decode(stored)
    if not record.told then
      redis.call('HDEL', KEYS[1], key)
    elseif type(record.gone_ms) ~= 'number' then
      record.gone_ms = now
      redis.call('HSET', KEYS[1], key, cjson.encode(record))
    end
    if record.told and now - record.gone_ms >= hold then
      redis.call('HDEL', KEYS[1], key)
      if record.over ~= '' then tell('over', key, record) end
    end
  end
end
return told
"""


@dataclass(frozen=True)
class Present:
    """One condition that holds now, as far as telling needs to know it."""

    key: str
    """Which condition: the same text as long as it is the same one."""
    fact: str
    remedy: str
    safe: str
    over: str
    """What is told when it is over; "": nothing is."""
    since_ms: int | None
    """Since when [Unix ms]; None: since it was first seen."""
    limit_ms: int
    """It is told when it has lasted so long [ms]."""
    at_once: bool = False
    """It is told without waiting whether it stays."""
    explained: bool = False
    """Another condition is its cause: it is not told by itself."""


@dataclass(frozen=True)
class Change:
    """A condition that began, or is over."""

    what: Literal["began", "over"]
    key: str
    at_ms: int
    since_ms: int
    fact: str
    remedy: str
    safe: str
    over: str


@dataclass(frozen=True)
class Delivery:
    """How telling goes on one channel."""

    pending: int
    """Changes still to be told."""
    sent: int
    """Messages of the last hour."""
    failures: int
    """Tries that failed since the last message."""
    next_ms: int
    """No try before this [Unix ms]."""
    failing_ms: int | None
    """Since when tries fail [Unix ms]."""
    error: str


class Notices:
    """The conditions that hold, and the changes that each channel has not yet told."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._conditions = keys("watch", "conditions")

    def compare(
        self, present: Iterable[Present], *, channels: Sequence[str], hold_s: float, now_ms: int
    ) -> list[str]:
        """Note which conditions hold now; return the keys of those that are now told of.

        Safe to repeat, and from anywhere at once: each change is told once per channel.

        Parameters
        ----------
        present
            Every condition that holds.
        channels
            Whom to tell; none: changes wait until there is one.
        hold_s
            A condition must hold, or be gone, for so long before it is told [s].
        now_ms
            The time [Unix ms].
        """
        here = {each.key: dumps(asdict(each)) for each in present}
        gone = set(self._connection.call("HKEYS", self._conditions)) - here.keys()
        entries = [(text, True) for text in here.values()]
        entries += [(key, False) for key in sorted(gone)]
        keys = [self._conditions, *(self._list(channel) for channel in channels)]
        told: list[str] = []
        # In parts: a script stops all of Redis while it runs.
        for start in range(0, len(entries), AT_ONCE):
            part = entries[start : start + AT_ONCE]
            args = [now_ms, round(hold_s * 1000), PENDING_MAX, sum(now for _, now in part)]
            told += self._connection.run(
                COMPARE, keys=keys, args=[*args, *(text for text, _ in part)]
            )
        return told

    def since(self) -> dict[str, int]:
        """Return since when each noted condition holds, by key [Unix ms]."""
        raw = self._connection.call("HGETALL", self._conditions)
        return {key: int(loads(text)["since_ms"]) for key, text in raw.items()}

    def pending(self, channel: str) -> list[tuple[str, Change]]:
        """Return the changes still to be told on a channel: stored text and change."""
        texts = self._connection.call("LRANGE", self._list(channel), 0, -1)
        return [(text, Change(**_whole(loads(text)))) for text in texts]

    def sent(self, channel: str, texts: Iterable[str], *, now_ms: int) -> None:
        """Note a message with these changes as sent."""
        key = self._keys("notices", channel, "sent")
        self._connection.batch(
            [
                *(("LREM", self._list(channel), 1, text) for text in texts),
                ("ZADD", key, now_ms, now_ms),
                ("ZREMRANGEBYSCORE", key, "-inf", now_ms - HOUR_MS),
                ("DEL", self._keys("notices", channel, "failing")),
            ],
            atomic=True,
        )

    def failed(self, channel: str, error: str, *, next_ms: int, now_ms: int) -> None:
        """Note that a message could not be sent, and when to try again."""
        key = self._keys("notices", channel, "failing")
        self._connection.batch(
            [
                ("HINCRBY", key, "failures", 1),
                ("HSETNX", key, "failing_ms", now_ms),
                ("HSET", key, "next_ms", next_ms, "error", error),
            ],
            atomic=True,
        )

    def delivery(self, channel: str, *, now_ms: int) -> Delivery:
        """Return how telling goes on a channel."""
        pending, sent, raw = self._connection.batch(
            [
                ("LLEN", self._list(channel)),
                (
                    "ZCOUNT",
                    self._keys("notices", channel, "sent"),
                    f"({now_ms - HOUR_MS}",
                    "+inf",
                ),
                ("HGETALL", self._keys("notices", channel, "failing")),
            ]
        )
        return Delivery(
            pending=int(pending),
            sent=int(sent),
            failures=int(raw.get("failures", 0)),
            next_ms=int(raw.get("next_ms", 0)),
            failing_ms=int(raw["failing_ms"]) if "failing_ms" in raw else None,
            error=raw.get("error", ""),
        )

    def _list(self, channel: str) -> str:
        return self._keys("notices", channel)


def _whole(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with its times as whole numbers: JSON of Lua may write them as reals."""
    return {
        name: int(value) if name.endswith("_ms") else value for name, value in record.items()
    }
