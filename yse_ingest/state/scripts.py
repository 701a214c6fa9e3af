"""The Lua of the state: what must happen at once, or not at all.

Every key comes in through ``KEYS``. Time is that of Redis. A fence is larger than every fence
before it and than the time in microseconds, so that a lost state never issues one again.

A row of the outbox is in exactly one of ``due``, ``inflight`` and ``refused``; ``settling``
tells that its last request has an unknown outcome. In a row's hash ``fence`` and ``started``
are there only while it is in flight.
"""

from __future__ import annotations

_NOW = """
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
"""

_FENCE = """
local function next_fence(counter)
  local last = tonumber(redis.call('GET', counter) or '0')
  local fence = string.format('%.0f', math.max(last + 1, now_us))
  redis.call('SET', counter, fence)
  return fence
end
"""

_HOLDS = """
local function holds(row, inflight, key, fence)
  if redis.call('HGET', row, 'fence') ~= fence then return false end
  local lease_end = redis.call('ZSCORE', inflight, key)
  return lease_end and tonumber(lease_end) > now
end
"""

# A server that was started again may have lost its last second: claims, STARTs, fences.
_SAME_SERVER = """
local function same_server(installed)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return redis.call('HGET', installed, 'run') == run
end
"""

# A row has become owed, or owes more: where it goes depends on where it is.
_ENQUEUE = """
local function enqueue(row, due, inflight, refused, key, changed, due_ms)
  if redis.call('ZSCORE', inflight, key) then
    if changed > 0 then redis.call('HSET', row, 'news', 1) end
  elseif redis.call('ZSCORE', refused, key) then
    if changed > 0 then
      redis.call('ZREM', refused, key)
      redis.call('HDEL', row, 'reason', 'attempts')
      redis.call('ZADD', due, due_ms, key)
    end
  else
    redis.call('ZADD', due, 'NX', due_ms, key)
  end
end

local function shrink(row, field, gap)
  local known = redis.call('HGET', row, field)
  if not known or tonumber(gap) < tonumber(known) then redis.call('HSET', row, field, gap) end
end
"""

TARGETS_PUT = """
-- KEYS: targets due added looks; ARGV: due_ms|'' now (name record)...
local changed = {}
for i = 3, #ARGV, 2 do
  local name, record = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[1], name) ~= record then
    redis.call('HSET', KEYS[1], name, record)
    redis.call('ZADD', KEYS[4], 0, name)
    changed[#changed + 1] = name
  end
  redis.call('HSETNX', KEYS[3], name, ARGV[2])
  if ARGV[1] ~= '' then
    redis.call('ZADD', KEYS[2], ARGV[1], name)
  else
    redis.call('ZADD', KEYS[2], 'NX', ARGV[2], name)
  end
end
return changed
"""

# A cadence of 0 is adaptive: the pace that was told last. The next time lies on the target's
# own grid (its phase apart from every other's), no less than a quarter of the cadence ahead.
_NEXT_DUE = """
local function grid(from, cadence, phase)
  phase = phase % cadence
  return math.floor((from - phase) / cadence + 1) * cadence + phase
end

local function next_due(name, record, now, cadences, paces, default_ms, base_ms)
  local told
  local function length(cadence)
    cadence = tonumber(cadence)
    if cadence > 0 then return cadence end
    told = told or tonumber(redis.call('HGET', paces, name) or base_ms)
    return told
  end
  local set = redis.call('HGET', cadences, name)
  local own, over = record.cadence_ms, record.until_ms
  if over and now >= over then own = nil end
  local cadence = length(set or own or default_ms)
  local due = grid(now + cadence / 4, cadence, record.phase)
  if over and own and not set and due > over then
    due = math.min(due, grid(over, length(default_ms), record.phase))
  end
  return due
end
"""

TARGETS_CLAIM_DUE = (
    _NEXT_DUE
    + """
-- KEYS: targets due paused cadence pending pace priority looks
-- ARGV: now limit cadence_ms base_ms
local now, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

-- More are due than are taken: a quarter of those taken waits longest, whoever it is; of the
-- rest, and of the highest wherever they stand, the highest go first.
local function first(names)
  if redis.call('ZCARD', KEYS[7]) == 0 then return {unpack(names, 1, limit)} end
  local oldest = math.ceil(limit / 4)
  local taken, seen, rest = {unpack(names, 1, oldest)}, {}, {}
  for i = 1, oldest do seen[names[i]] = true end
  local function consider(name)
    local due = not seen[name] and redis.call('ZSCORE', KEYS[2], name)
    if due and tonumber(due) <= now then
      seen[name] = true
      local priority = tonumber(redis.call('ZSCORE', KEYS[7], name) or 0)
      rest[#rest + 1] = {name, priority, tonumber(due)}
    end
  end
  local high = redis.call(
    'ZRANGE', KEYS[7], '+inf', '(0', 'BYSCORE', 'REV', 'LIMIT', 0, 2 * limit
  )
  for _, name in ipairs(high) do consider(name) end
  for i = oldest + 1, #names do consider(names[i]) end
  table.sort(rest, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    if a[3] ~= b[3] then return a[3] < b[3] end
    return a[1] < b[1]
  end)
  for i = 1, math.min(#rest, limit - oldest) do taken[#taken + 1] = rest[i][1] end
  return taken
end

local names = redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, 4 * limit)
if #names > limit then names = first(names) end
local taken = {}
for _, name in ipairs(names) do
  local raw = redis.call('HGET', KEYS[1], name)
  if not raw then
    redis.call('ZREM', KEYS[2], name)
    redis.call('ZREM', KEYS[7], name)
  else
    local record = cjson.decode(raw)
    local due = next_due(name, record, now, KEYS[4], KEYS[6], ARGV[3], ARGV[4])
    redis.call('ZADD', KEYS[2], due, name)
    local reason = redis.call('HGET', KEYS[3], name)
    local expired = record.expires_ms and now >= record.expires_ms
    if expired and not reason then
      reason = 'expired ' .. record.target.expires
      redis.call('HSET', KEYS[3], name, reason)
    elseif reason and not expired and string.sub(reason, 1, 8) == 'expired ' then
      -- Its date was changed.
      redis.call('HDEL', KEYS[3], name)
      redis.call('ZADD', KEYS[8], 0, name)
      reason = false
    end
    if not reason then
      redis.call('ZADD', KEYS[5], now, name)
      taken[#taken + 1] = name
      taken[#taken + 1] = record.source or ''
    end
  end
end
return taken
"""
)

TARGETS_SERVED = (
    _NEXT_DUE
    + """
-- KEYS: targets due cadence pace hinted; ARGV: now cadence_ms base_ms (name hinted_ms)...
for i = 4, #ARGV, 2 do
  local name, hinted = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', KEYS[5], name) == hinted then
    redis.call('HDEL', KEYS[5], name)
    local raw, due = redis.call('HGET', KEYS[1], name), redis.call('ZSCORE', KEYS[2], name)
    if raw and due and tonumber(due) == tonumber(hinted) then
      local record, now = cjson.decode(raw), tonumber(ARGV[1])
      due = next_due(name, record, now, KEYS[3], KEYS[4], ARGV[2], ARGV[3])
      redis.call('ZADD', KEYS[2], due, name)
    end
  end
end
"""
)

TARGETS_PUT_OFF = """
-- KEYS: due pace; ARGV: name due_ms since_ms until_ms every_ms|''
-- What was made due between these two stays so.
local name, since, till = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], name, ARGV[5]) end
local due = tonumber(redis.call('ZSCORE', KEYS[1], name) or 0)
if due < since or due > till then redis.call('ZADD', KEYS[1], 'XX', ARGV[2], name) end
"""

TARGETS_SWEEP = """
-- KEYS: due pending; ARGV: now oldest
local names = redis.call('ZRANGE', KEYS[2], '-inf', ARGV[2], 'BYSCORE')
for _, name in ipairs(names) do
  redis.call('ZREM', KEYS[2], name)
  redis.call('ZADD', KEYS[1], 'XX', ARGV[1], name)
end
return #names
"""

PACKED_SWAP = """
-- KEYS: hash; ARGV: field old|'' new|''
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
"""

CLOCKS_SWAP = """
-- KEYS: clocks troubled pending|none; ARGV: (name old|'' new|'' member since_ms|'')...
-- Those whose clock is another by now are returned by their place, and stay as they are.
local missed = {}
for i = 1, #ARGV, 5 do
  local name, new, member, since = ARGV[i], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if (redis.call('HGET', KEYS[1], name) or '') ~= ARGV[i + 1] then
    missed[#missed + 1] = (i - 1) / 5
  else
    if new == '' then
      redis.call('HDEL', KEYS[1], name)
    else
      redis.call('HSET', KEYS[1], name, new)
    end
    if KEYS[3] then redis.call('ZREM', KEYS[3], name) end
    if since == '' then
      redis.call('ZREM', KEYS[2], member)
    else
      redis.call('ZADD', KEYS[2], 'NX', since, member)
    end
  end
end
return missed
"""

OWE = (
    _NOW
    + _ENQUEUE
    + """
-- KEYS: rows due inflight refused row points
-- ARGV: key target tolerance_ms due_ms|'' instrument gaps (name gap)... (field value)...
local gaps = tonumber(ARGV[6])
local changed = 0
for i = 7 + 2 * gaps, #ARGV, 2 do
  if redis.call('HGET', KEYS[6], ARGV[i]) ~= ARGV[i + 1] then
    redis.call('HSET', KEYS[6], ARGV[i], ARGV[i + 1])
    changed = changed + 1
  end
end
for i = 7, 5 + 2 * gaps, 2 do shrink(KEYS[5], 'gap:' .. ARGV[i], ARGV[i + 1]) end
shrink(KEYS[5], 'tolerance:' .. ARGV[5], ARGV[3])
redis.call('HSET', KEYS[5], 'target:' .. ARGV[2], ARGV[3])
redis.call('HSETNX', KEYS[5], 'since_ms', now)
redis.call('ZADD', KEYS[1], redis.call('HLEN', KEYS[6]), ARGV[1])
enqueue(KEYS[5], KEYS[2], KEYS[3], KEYS[4], ARGV[1], changed, ARGV[4] ~= '' and ARGV[4] or now)
return changed
"""
)

CLAIM = (
    _NOW
    + _FENCE
    + _SAME_SERVER
    + """
-- KEYS: installed quiet hold breaker fence due inflight settling row...
-- ARGV: lease_ms cap limit early installation key...
local taken = {}
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[5] or not same_server(KEYS[1]) then
  return false
end
if redis.call('EXISTS', KEYS[3]) == 1 then return taken end
if redis.call('HEXISTS', KEYS[1], 'unheard') == 1 then return taken end
if now < tonumber(redis.call('GET', KEYS[2]) or '0') then return taken end
local room = math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) - redis.call('ZCARD', KEYS[7]))
local open = redis.call('HEXISTS', KEYS[4], 'interval_ms') == 1
if open then
  if now < tonumber(redis.call('HGET', KEYS[4], 'next_ms')) then return taken end
  room = math.min(room, 1)
end
for i = 9, #KEYS do
  if room < 1 then break end
  local key, row = ARGV[i - 3], KEYS[i]
  local due = redis.call('ZSCORE', KEYS[6], key)
  if due and redis.call('EXISTS', row) == 0 then
    redis.call('ZREM', KEYS[6], key)
  elseif due then
    local early = ARGV[4] == '1' and redis.call('SISMEMBER', KEYS[8], key) == 0
    if early or tonumber(due) <= now then
      local fence = next_fence(KEYS[5])
      redis.call('ZREM', KEYS[6], key)
      redis.call('ZADD', KEYS[7], now + ARGV[1], key)
      redis.call('HSET', row, 'fence', fence, 'started', 0)
      redis.call('HDEL', row, 'news')
      taken[#taken + 1] = key
      taken[#taken + 1] = fence
      room = room - 1
    end
  end
end
if open and #taken > 0 then
  -- No other probe before this one has reported, or its lease is over.
  redis.call('HSET', KEYS[4], 'probing', 'claim', 'next_ms', now + ARGV[1])
end
return taken
"""
)

RECLAIM = (
    _NOW
    + """
-- KEYS: due inflight settling row...; ARGV: all reason key...
local count = 0
for i = 4, #KEYS do
  local key, row = ARGV[i - 1], KEYS[i]
  local lease_end = redis.call('ZSCORE', KEYS[2], key)
  if lease_end and (ARGV[1] == '1' or tonumber(lease_end) <= now) then
    redis.call('ZREM', KEYS[2], key)
    if redis.call('EXISTS', row) == 1 then
      local started = tonumber(redis.call('HGET', row, 'started') or '0')
      redis.call('HDEL', row, 'fence', 'started', 'news')
      if ARGV[1] == '1' or started > 0 then
        redis.call('SADD', KEYS[3], key)
        redis.call('HSET', row, 'settle', '{"stage":"ping"}', 'reason', ARGV[2])
      end
      redis.call('ZADD', KEYS[1], now, key)
    end
    count = count + 1
  end
end
return count
"""
)

START = (
    _NOW
    + _HOLDS
    + _SAME_SERVER
    + """
-- KEYS: inflight row installed; ARGV: key fence lease_ms attempt
if not same_server(KEYS[3]) then return 0 end
if not holds(KEYS[2], KEYS[1], ARGV[1], ARGV[2]) then return 0 end
if redis.call('HGET', KEYS[2], 'started') + 1 ~= tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[2], 'started', ARGV[4])
redis.call('HDEL', KEYS[2], 'news')
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
"""
)

RENEW = (
    _NOW
    + _HOLDS
    + """
-- KEYS: inflight row; ARGV: key fence lease_ms
if not holds(KEYS[2], KEYS[1], ARGV[1], ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
return 1
"""
)

OWED_BEFORE = """
-- KEYS: row...; ARGV: time; returns (place since)... of those that are owed since before it
local late = {}
for i, row in ipairs(KEYS) do
  local since = tonumber(redis.call('HGET', row, 'since_ms'))
  if since and since < tonumber(ARGV[1]) then
    late[#late + 1] = i - 1
    late[#late + 1] = since
  end
end
return late
"""

FINISH = (
    _NOW
    + """
-- KEYS: rows due inflight refused settling row points
-- ARGV: key fence result due_ms|'' reason attempts_delta attempts_reset settle (field value)...
local key, result, row, points = ARGV[1], ARGV[3], KEYS[6], KEYS[7]
if redis.call('HGET', row, 'fence') ~= ARGV[2] then return 0 end
for i = 9, #ARGV, 2 do
  if redis.call('HGET', points, ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', points, ARGV[i])
  end
end
local left = redis.call('HLEN', points)
local news = redis.call('HEXISTS', row, 'news') == 1
redis.call('ZREM', KEYS[3], key)
redis.call('SREM', KEYS[5], key)
redis.call('HDEL', row, 'fence', 'started', 'news', 'settle', 'reason')
if result == 'done' and left == 0 then
  redis.call('DEL', row, points)
  redis.call('ZREM', KEYS[1], key)
  return 1
end
redis.call('ZADD', KEYS[1], left, key)
if result == 'done' then redis.call('HSET', row, 'since_ms', now) end
if result == 'done' or ARGV[7] == '1' then redis.call('HDEL', row, 'attempts') end
if ARGV[6] ~= '0' then redis.call('HINCRBY', row, 'attempts', ARGV[6]) end
if ARGV[5] ~= '' then redis.call('HSET', row, 'reason', ARGV[5]) end
if ARGV[8] ~= '' then
  redis.call('SADD', KEYS[5], key)
  redis.call('HSET', row, 'settle', ARGV[8])
end
if result == 'refused' and not news then
  redis.call('ZADD', KEYS[4], now, key)
  return 1
end
redis.call('ZADD', KEYS[2], ARGV[4] ~= '' and ARGV[4] or now, key)
return 1
"""
)

MOVE = (
    _NOW
    + _ENQUEUE
    + """
-- KEYS: rows due inflight refused settling row_from points_from row_to points_to
-- ARGV: from to fence
local from, to = ARGV[1], ARGV[2]
local fields = redis.call('HGETALL', KEYS[6])
if #fields == 0 then return 0 end
local fence = redis.call('HGET', KEYS[6], 'fence')
if fence and fence ~= ARGV[3] then return 0 end
local changed = 0
local moved = redis.call('HGETALL', KEYS[7])
for i = 1, #moved, 2 do
  if redis.call('HGET', KEYS[9], moved[i]) ~= moved[i + 1] then
    redis.call('HSET', KEYS[9], moved[i], moved[i + 1])
    changed = changed + 1
  end
end
for i = 1, #fields, 2 do
  local field, value = fields[i], fields[i + 1]
  if string.sub(field, 1, 4) == 'gap:' or string.sub(field, 1, 10) == 'tolerance:'
    or field == 'since_ms' then
    shrink(KEYS[8], field, value)
  elseif string.sub(field, 1, 7) == 'target:' then
    redis.call('HSET', KEYS[8], field, value)
  end
end
redis.call('DEL', KEYS[6], KEYS[7])
redis.call('SREM', KEYS[5], from)
for i = 1, 4 do redis.call('ZREM', KEYS[i], from) end
redis.call('ZADD', KEYS[1], redis.call('HLEN', KEYS[9]), to)
enqueue(KEYS[8], KEYS[2], KEYS[3], KEYS[4], to, changed, now)
return 1
"""
)

RELEASE = (
    _NOW
    + """
-- KEYS: due inflight row; ARGV: key fence
if redis.call('HGET', KEYS[3], 'fence') ~= ARGV[2] then return 0 end
if redis.call('HGET', KEYS[3], 'started') ~= '0' then return 0 end
redis.call('HDEL', KEYS[3], 'fence', 'started', 'news')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
"""
)

RELEASE_REFUSED = (
    _NOW
    + """
-- KEYS: due refused row; ARGV: key
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], 'reason', 'attempts')
redis.call('ZADD', KEYS[1], now, ARGV[1])
return 1
"""
)

DROP = """
-- KEYS: rows due inflight refused settling row points; ARGV: key
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then return 0 end
redis.call('SREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return redis.call('DEL', KEYS[6], KEYS[7]) > 0 and 1 or 0
"""

RESTORE_LOST = (
    _NOW
    + """
-- KEYS: rows due inflight refused; ARGV: key...
local count = 0
for _, key in ipairs(ARGV) do
  local known = redis.call('ZSCORE', KEYS[1], key)
  local placed = redis.call('ZSCORE', KEYS[2], key) or redis.call('ZSCORE', KEYS[3], key)
    or redis.call('ZSCORE', KEYS[4], key)
  if known and not placed then
    redis.call('ZADD', KEYS[2], now, key)
    count = count + 1
  end
end
return count
"""
)

HEARD = (
    _NOW
    + """
-- KEYS: installed quiet; ARGV: unheard limit_ms
-- Another loss since then has to be answered anew.
if redis.call('HGET', KEYS[1], 'unheard') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'unheard')
redis.call('SET', KEYS[2], now + ARGV[2])
return 1
"""
)

LEASE_TAKE = (
    _NOW
    + _FENCE
    + """
-- KEYS: lease fence; ARGV: lease_ms
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local fence = next_fence(KEYS[2])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence
"""
)

LEASE_RENEW = """
-- KEYS: lease; ARGV: fence lease_ms
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

LEASE_RELEASE = """
-- KEYS: lease; ARGV: fence
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

ALIASES_APPEND = """
-- KEYS: meta rows; ARGV: reading count row...
if redis.call('HGET', KEYS[1], 'reading') ~= ARGV[1] then return 0 end
if redis.call('LLEN', KEYS[2]) ~= tonumber(ARGV[2]) then return 0 end
for i = 3, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('HSET', KEYS[1], 'count', redis.call('LLEN', KEYS[2]))
return 1
"""

DECISION_MARK = """
-- KEYS: installed; ARGV: id before after
-- A Redis that misses a decision before this one is left to be recognised as lost.
local id, seq = unpack(redis.call('HMGET', KEYS[1], 'id', 'seq'))
if id ~= ARGV[1] or tonumber(seq) < tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'seq', math.max(tonumber(seq), tonumber(ARGV[3])))
return 1
"""

NOTE_REPLACE = """
-- KEYS: note; ARGV: old|'' new|'' keep_ms
local stands = redis.call('GET', KEYS[1]) or ''
if stands ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
