"""The Lua of the gate: turns, breakers, and the account of YSE-PZ's time.

A breaker is a hash. ``failures`` counts those in a row; ``interval_ms`` is there while it is
open, ``next_ms`` is when the next probe may go, and ``probing`` names the probe that is out
("claim": a row was claimed for it, and its first request will be it).
"""

from __future__ import annotations

from yse_ingest.state.scripts import _NOW

_NOTE = """
local function note(breaker, ok, id, reason, threshold, first_ms, longest_ms)
  if ok == '1' then
    redis.call('DEL', breaker)
    return
  end
  local interval = tonumber(redis.call('HGET', breaker, 'interval_ms') or '0')
  if interval > 0 then
    -- Others that were in flight fail with the probe: one failure, one longer wait.
    local probing = redis.call('HGET', breaker, 'probing')
    if not probing or (id ~= '' and id ~= probing) then return end
    redis.call('HDEL', breaker, 'probing')
    interval = math.min(interval * 2, tonumber(longest_ms))
  else
    if redis.call('HINCRBY', breaker, 'failures', 1) < tonumber(threshold) then return end
    interval = tonumber(first_ms)
    redis.call('HSET', breaker, 'since_ms', now)
  end
  redis.call('HSET', breaker, 'interval_ms', interval, 'next_ms', now + interval)
  if reason ~= '' then redis.call('HSET', breaker, 'reason', reason) end
end
"""

BREAKER_RECORD = (
    _NOW
    + _NOTE
    + """
-- KEYS: breaker; ARGV: ok id reason threshold first_ms longest_ms
note(KEYS[1], unpack(ARGV))
return 0
"""
)

BREAKER_ASK = (
    _NOW
    + """
-- KEYS: breaker; ARGV: id term_ms
-- How long to wait [ms]; 0: ask now. A probe that never reports makes room for the next.
if redis.call('HEXISTS', KEYS[1], 'interval_ms') == 0 then return 0 end
local wait = tonumber(redis.call('HGET', KEYS[1], 'next_ms')) - now
if wait > 0 then return wait end
redis.call('HSET', KEYS[1], 'probing', ARGV[1], 'next_ms', now + ARGV[2])
return 0
"""
)

BREAKER_WITHDRAW = """
-- KEYS: breaker; ARGV: id
if redis.call('HGET', KEYS[1], 'probing') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'probing')
redis.call('HSET', KEYS[1], 'next_ms', 0)
return 1
"""

TURN_TAKE = (
    _NOW
    + """
-- KEYS: held waiting seen breaker; ARGV: id cap term_ms rank seen_ms purpose
-- {"taken"}, {"wait"}, or {"down", ms until the next probe}
local id, purpose = ARGV[1], ARGV[6]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for _, other in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', now, 'BYSCORE')) do
  redis.call('ZREM', KEYS[2], other)
  redis.call('ZREM', KEYS[3], other)
end
local open = redis.call('HEXISTS', KEYS[4], 'interval_ms') == 1
if open then
  local probing = redis.call('HGET', KEYS[4], 'probing')
  local wait = tonumber(redis.call('HGET', KEYS[4], 'next_ms')) - now
  local its_claim = probing == 'claim' and (purpose == 'upload' or purpose == 'push')
  local by_hand = purpose == 'doctor' and not probing
  if wait > 0 and not its_claim and not by_hand then
    redis.call('ZREM', KEYS[2], id)
    redis.call('ZREM', KEYS[3], id)
    return {'down', wait}
  end
end
if not redis.call('ZSCORE', KEYS[2], id) then
  -- A rank is worth more than any time.
  redis.call('ZADD', KEYS[2], ARGV[4] * 1e13 + now, id)
end
redis.call('ZADD', KEYS[3], now + ARGV[5], id)
local free = tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[1])
if redis.call('ZRANK', KEYS[2], id) >= free then return {'wait'} end
redis.call('ZREM', KEYS[2], id)
redis.call('ZREM', KEYS[3], id)
redis.call('ZADD', KEYS[1], now + ARGV[3], id)
if open then redis.call('HSET', KEYS[4], 'probing', id, 'next_ms', now + ARGV[3]) end
return {'taken'}
"""
)

TURN_RENEW = (
    _NOW
    + """
-- KEYS: held; ARGV: id term_ms
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
return 0
"""
)

TURN_END = (
    _NOW
    + _NOTE
    + """
-- KEYS: held breaker budget
-- ARGV: id answered|'' purpose spent_ms bucket_ms buckets threshold first_ms longest_ms
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == '' then return 0 end
note(KEYS[2], ARGV[2], ARGV[1], '', ARGV[7], ARGV[8], ARGV[9])
local bucket = math.floor(now / tonumber(ARGV[5]))
local field = string.format('%d:%s', bucket, ARGV[3])
if redis.call('HINCRBY', KEYS[3], field, ARGV[4]) == tonumber(ARGV[4]) then
  for _, old in ipairs(redis.call('HKEYS', KEYS[3])) do
    if tonumber(string.match(old, '^%d+')) < bucket - tonumber(ARGV[6]) then
      redis.call('HDEL', KEYS[3], old)
    end
  end
end
return 0
"""
)
