"""The Lua scripts. Each changes only entries that the named consumer still holds, and works on a full Redis too.

They are sent as text (EVAL). Redis caches them, so nothing has to be loaded again after a restart.
"""

from typing import Final

HANDED_BACK: Final = "handed-back"
"""Name of the consumer that entries are handed back to. It never reads, so every consumer may take its entries."""

_LONG_IDLE_MS: Final = 365 * 24 * 3600 * 1000

_HELD: Final = """
local group, consumer = ARGV[1], ARGV[2]

-- The entry's row in the pending list if the consumer holds it, else nil. Also nil when the group is gone.
local function held(stream, id)
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  return not rows.err and rows[1]
end
"""

STORE: Final = """
-- The sum of the lengths of all values of a hash, as the key `sum` holds it. Without that key they are counted.
local function sum_of(items, sum)
  local known = redis.call('GET', sum)
  if known then return tonumber(known) end
  local bytes = 0
  for _, id in ipairs(redis.call('HKEYS', items)) do bytes = bytes + redis.call('HSTRLEN', items, id) end
  return bytes
end

-- Add an item to a sorted set of ids by time, and to a hash of items. An item of the same id is replaced.
-- `time` is in unix seconds; empty: now by Redis's clock; `+SECONDS`: so much later than now. `sum` is the key with the
-- bytes of all items, or empty.
local function store(ids, items, sum, time, id, item)
  local later = time == '' and '0' or string.match(time, '^%+(.*)$')
  if later then
    local now = redis.call('TIME')
    time = string.format('%.6f', now[1] + now[2] / 1e6 + later)
  end
  redis.call('ZADD', ids, time, id)
  if sum ~= '' then
    local grown = #item - redis.call('HSTRLEN', items, id)
    redis.call('SET', sum, string.format('%.0f', sum_of(items, sum) + grown))
  end
  redis.call('HSET', items, id, item)
end

-- Run the command in ARGV from `first` to `last`: a command of Redis, or STORE with the arguments of `store`.
local function perform(first, last)
  if ARGV[first] ~= 'STORE' then return redis.pcall(unpack(ARGV, first, last)) end
  local done, why = pcall(store, unpack(ARGV, first + 1, last))
  return done and 1 or {err = type(why) == 'table' and why.err or tostring(why)}
end
"""

ACK: Final = (
    _HELD
    + """
-- Acknowledge entries, and delete them unless they are to be kept.
-- KEYS  stream
-- ARGV  group, consumer, 1 to keep the entries or 0, entry ids
for i = 4, #ARGV do
  if held(KEYS[1], ARGV[i]) then
    redis.call('XACK', KEYS[1], group, ARGV[i])
    if ARGV[3] == '0' then redis.call('XDEL', KEYS[1], ARGV[i]) end
  end
end
"""
)

RENEW: Final = (
    _HELD
    + """
-- Renew leases. Returns the ids of the entries that the consumer still holds.
-- KEYS  stream
-- ARGV  group, consumer, entry ids
local renewed = {}
for i = 3, #ARGV do
  if held(KEYS[1], ARGV[i]) then
    local claimed = redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'JUSTID')
    renewed[#renewed + 1] = claimed[1]
  end
end
return renewed
"""
)

HAND_BACK: Final = (
    _HELD
    + f"""
-- Hand entries back: every consumer may take them at once.
-- KEYS  stream
-- ARGV  group, consumer, 1 to count this delivery or 0, entry ids
for i = 4, #ARGV do
  local row = held(KEYS[1], ARGV[i])
  if row then
    redis.call('XCLAIM', KEYS[1], group, '{HANDED_BACK}', 0, ARGV[i], 'IDLE', {_LONG_IDLE_MS}, 'RETRYCOUNT',
      math.max(0, row[4] - 1 + ARGV[3]), 'JUSTID')
  end
end
"""
)

MOVE: Final = (
    _HELD
    + STORE
    + """
-- Acknowledge entries and run the commands of each. Returns for each 1 (done), 0 (not held) or an error.
-- KEYS  the stream of each entry
-- ARGV  group, consumer, 1 to keep settled entries or 0, then for each entry: its id; 0, or 1 and the key, field and
--       value to be set once; the number of commands; for each command the number of its arguments, and these
-- The keys that the commands write are not declared, so this does not run on Redis Cluster.
local at = 3
local function next_argument()
  at = at + 1
  return ARGV[at]
end

local function run(once, commands)
  if once then
    local new = redis.pcall('HSETNX', once[1], once[2], once[3])
    if new == 0 then return nil end
    if new ~= 1 then return new.err end
  end
  local added = {}
  for _, range in ipairs(commands) do
    local reply = perform(range[1], range[2])
    if type(reply) == 'table' and reply.err then
      -- The move may be tried again: without this its messages would be published twice.
      for _, entry in ipairs(added) do redis.call('XDEL', entry[1], entry[2]) end
      if once then redis.call('HDEL', once[1], once[2]) end
      return reply.err
    end
    if ARGV[range[1]] == 'XADD' then added[#added + 1] = {ARGV[range[1] + 1], reply} end
  end
end

local results = {}
for i, stream in ipairs(KEYS) do
  local id, once, commands = next_argument(), nil, {}
  if next_argument() == '1' then once = {next_argument(), next_argument(), next_argument()} end
  for n = 1, tonumber(next_argument()) do
    local arguments = tonumber(next_argument())
    commands[n] = {at + 1, at + arguments}
    at = at + arguments
  end
  local row = held(stream, id)
  -- XACK comes first: Redis lets a script that has written go on when maxmemory is reached.
  if row and redis.call('XACK', stream, group, id) == 1 then
    local refusal = run(once, commands)
    if refusal then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', row[4], 'FORCE', 'JUSTID')
    elseif ARGV[3] == '0' then
      redis.call('XDEL', stream, id)
    end
    results[i] = refusal or 1
  else
    results[i] = 0
  end
end
return results
"""
)

REMOVE_IDLE_CONSUMERS: Final = """
-- Remove consumers that hold no entry and sent no command for some time. Returns how many.
-- KEYS  stream
-- ARGV  group, idle time in milliseconds, name of the only consumer to remove ("" for any)
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
local removed = 0
for _, row in ipairs(consumers.err and {} or consumers) do
  local consumer = {}
  for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
  if consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) and (ARGV[3] == '' or ARGV[3] == consumer.name) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
"""
