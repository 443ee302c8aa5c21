"""The Lua scripts. Each acts only on entries that the named consumer still holds, and each allows a full Redis.

They are sent as text (EVAL): Redis caches them, and nothing has to be loaded again after a restart.
"""

from typing import Final

HANDED_BACK: Final = "handed-back"
"""Consumer that owns what was handed back: it never reads, so anybody may take its entries."""

_LONG_IDLE_MS: Final = 365 * 24 * 3600 * 1000

_HELD: Final = """
local group, consumer = ARGV[1], ARGV[2]

-- The entry's row in the pending list when the consumer holds it; a lost group holds nothing.
local function held(stream, id)
  local rows = redis.pcall('XPENDING', stream, group, id, id, 1, consumer)
  return not rows.err and rows[1]
end
"""

ACK: Final = (
    _HELD
    + """
-- Settle entries: acknowledge and, unless they are kept, delete.
-- KEYS  stream
-- ARGV  group, consumer, 1 to keep them or 0, entry ids
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
-- Begin the leases anew; returns the ids of the entries that are still the consumer's.
-- KEYS  stream
-- ARGV  group, consumer, entry ids
local kept = {}
for i = 3, #ARGV do
  if held(KEYS[1], ARGV[i]) then
    local claimed = redis.call('XCLAIM', KEYS[1], group, consumer, 0, ARGV[i], 'JUSTID')
    kept[#kept + 1] = claimed[1]
  end
end
return kept
"""
)

HAND_BACK: Final = (
    _HELD
    + f"""
-- Let anybody take the entries at once; their delivery counts stay.
-- KEYS  stream
-- ARGV  group, consumer, entry ids
for i = 3, #ARGV do
  if held(KEYS[1], ARGV[i]) then
    redis.call('XCLAIM', KEYS[1], group, '{HANDED_BACK}', 0, ARGV[i], 'IDLE', {_LONG_IDLE_MS}, 'JUSTID')
  end
end
"""
)

MOVE: Final = (
    _HELD
    + """
-- Settle entries and run what follows from each; returns for each 1 (settled), 0 (not the consumer's) or an error.
-- KEYS  the stream of each entry
-- ARGV  group, consumer, 1 to keep settled entries or 0, then for each entry: its id; 0, or 1 and the key, field and
--       value to be set once; the number of commands; for each command the number of its words and the words
-- The keys written by the commands are not declared: one Redis, not a cluster.
local at = 3
local function take()
  at = at + 1
  return ARGV[at]
end

local function follow(once, commands)
  if once then
    local new = redis.pcall('HSETNX', once[1], once[2], once[3])
    if new == 0 then return nil end
    if new ~= 1 then return new.err end
  end
  for _, words in ipairs(commands) do
    local reply = redis.pcall(unpack(ARGV, words[1], words[2]))
    if type(reply) == 'table' and reply.err then
      if once then redis.call('HDEL', once[1], once[2]) end
      return reply.err
    end
  end
end

local results = {}
for i, stream in ipairs(KEYS) do
  local id, once, commands = take(), nil, {}
  if take() == '1' then once = {take(), take(), take()} end
  for n = 1, tonumber(take()) do
    local words = tonumber(take())
    commands[n] = {at + 1, at + words}
    at = at + words
  end
  local row = held(stream, id)
  -- Acknowledging first is what lets the commands add to a full Redis: a script that has written may go on.
  if row and redis.call('XACK', stream, group, id) == 1 then
    local fault = follow(once, commands)
    if fault then
      redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', row[4], 'FORCE', 'JUSTID')
    elseif ARGV[3] == '0' then
      redis.call('XDEL', stream, id)
    end
    results[i] = fault or 1
  else
    results[i] = 0
  end
end
return results
"""
)

RETIRE: Final = """
-- Remove consumers that hold nothing and have been silent; returns how many.
-- KEYS  stream
-- ARGV  group, milliseconds of silence, the only consumer to look at (or nothing)
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
