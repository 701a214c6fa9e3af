"""What is noted of each source: how it last answered, what changed, replies kept to look at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

KEPT_REPLIES = 3
"""The newest replies of a source that could not be read are kept."""
SUSPECTS_MAX = 100
"""So many targets without a readable row are remembered."""

NOTE = """
-- KEYS: record; ARGV: now_ms answer condition reason
local last = redis.call('HGET', KEYS[1], 'condition')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'answer', ARGV[2], 'answered_ms', ARGV[1]) end
if ARGV[2] == 'ok' or ARGV[2] == 'empty' then
  redis.call('HSET', KEYS[1], 'heard_ms', ARGV[1])
end
redis.call('HSET', KEYS[1], 'condition', ARGV[3], 'reason', ARGV[4])
if last == ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'changed_ms', ARGV[1], 'before', last or '')
return 1
"""


@dataclass(frozen=True)
class KeptReply:
    """A reply that could not be read, cut and without secrets."""

    at_ms: int
    """When it came [Unix ms]."""
    fact: str
    """Why it could not be read."""
    asked: str
    """Method and address of the request."""
    status: int
    content_type: str
    length: int
    """Of the whole reply [bytes]."""
    body: str
    """Its beginning, at most 64 kB."""


@dataclass(frozen=True)
class SourceRecord:
    """How a source has answered, over all targets and workers. Times are Unix times [ms]."""

    answered_ms: int | None = None
    """When it was last asked and what came of it is known."""
    answer: str | None = None
    """What came of it: ok, empty or error, over the targets of one message."""
    condition: str = "never asked"
    """ok, no answer, refused, unreadable, format changed, held back."""
    reason: str = ""
    """Why it is in this condition."""
    changed_ms: int | None = None
    """Since when it is."""
    before: str = ""
    """In which it was before; "": in none."""
    heard_ms: int | None = None
    """When it last answered a target without an error."""


class SourceRecords:
    """One record per source, shared by all workers."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def note(self, source: str, *, answer: str, condition: str, reason: str) -> bool:
        """Note what a message heard of a source; return whether its condition changed.

        Parameters
        ----------
        source
            Its name.
        answer
            ok, empty or error; "": it was not asked.
        condition, reason
            See `SourceRecord`; without names of targets.
        """
        now_ms = self._connection.now_ms()
        args = [now_ms, answer, condition, reason]
        return bool(self._connection.run(NOTE, keys=[self._keys("source", source)], args=args))

    def get(self, source: str) -> SourceRecord:
        """Return what is noted of a source."""
        raw: dict[str, Any] = self._connection.call("HGETALL", self._keys("source", source))
        for name in {"answered_ms", "changed_ms", "heard_ms"} & raw.keys():
            raw[name] = int(raw[name])
        return SourceRecord(**raw)

    def suspect(self, source: str, field: str, target: str) -> int:
        """Note a target none of whose rows could be read; return how many there are.

        All of the same source and for the same field, since a row of it was readable.
        """
        key = self._keys("suspects", source)
        known = self._connection.call("SMEMBERS", key)
        if len(known) < SUSPECTS_MAX:
            self._connection.call("SADD", key, f"{field}|{target}")
        same = {each for each in known if each.rpartition("|")[0] == field}
        return len(same | {f"{field}|{target}"})

    def clear_suspects(self, source: str) -> None:
        """Forget them: a row could be read."""
        self._connection.call("DEL", self._keys("suspects", source))

    def keep(self, source: str, reply: KeptReply) -> None:
        """Keep a reply to look at, instead of the oldest one."""
        key = self._keys("replies", source)
        self._connection.batch(
            [("LPUSH", key, dumps(asdict(reply))), ("LTRIM", key, 0, KEPT_REPLIES - 1)],
            atomic=True,
        )

    def replies(self, source: str) -> list[KeptReply]:
        """Return the replies that are kept, newest first."""
        texts = self._connection.call("LRANGE", self._keys("replies", source), 0, -1)
        return [KeptReply(**loads(text)) for text in texts]
