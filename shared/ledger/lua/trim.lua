-- Drop the oldest items of a message set: those that are too old, and those above its caps.
-- KEYS: 1 the message set (sorted set of item ids)  2 its items (hash)  3 how many items were dropped, by set (hash)
--       4 the bytes of all items (string; only for a set whose bytes are counted)
-- ARGV: 1 most items dropped in one call  2 name of the set  3 longest age in seconds ("" for any)  4 most items
--       ("" for any)  5 most bytes ("" for 5 % of maxmemory, or 64 MiB without maxmemory)
--       6 share of maxmemory above which every item is dropped ("" for none)
-- Returns: how many were dropped for their age, for their number, for their bytes, and for Redis's memory.
-- The first write is ZREM, so that items can be dropped in a full Redis.
local counted, count, bytes, dropped = #KEYS > 3, redis.call('ZCARD', KEYS[1]), 0, 0
if count == 0 then return {0, 0, 0, 0} end

local function memory()
    local info = redis.pcall('INFO', 'memory')
    if type(info) ~= 'string' then return 0, 0 end  -- some managed Redis services forbid INFO
    local used, limit = string.match(info, 'used_memory:(%d+)'), string.match(info, 'maxmemory:(%d+)')
    return tonumber(used or '0'), tonumber(limit or '0')
end

local time, known = redis.call('TIME'), true
local oldest = ARGV[3] ~= '' and time[1] + time[2] / 1e6 - ARGV[3]
local most_items, most_bytes, most_share = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local used, limit = memory()
if counted then
    known, bytes = redis.call('EXISTS', KEYS[4]) == 1, sum_of(KEYS[2], KEYS[4])
    if not most_bytes then most_bytes = limit > 0 and limit / 20 or 67108864 end
end

local function cause(at)
    if oldest and at < oldest then return 1 end
    if most_items and count > most_items then return 2 end
    if counted and bytes > most_bytes then return 3 end
    if most_share and dropped % 20 == 0 then used, limit = memory() end
    if most_share and limit > 0 and used > most_share * limit then return 4 end
end

local causes = {0, 0, 0, 0}
while dropped < tonumber(ARGV[1]) and count > 0 do
    local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    local why = cause(tonumber(first[2]))
    if not why then break end
    redis.call('ZREM', KEYS[1], first[1])
    bytes = bytes - redis.call('HSTRLEN', KEYS[2], first[1])
    redis.call('HDEL', KEYS[2], first[1])
    dropped, count, causes[why] = dropped + 1, count - 1, causes[why] + 1
end
if dropped > 0 then redis.call('HINCRBY', KEYS[3], ARGV[2], dropped) end
if counted and count == 0 then
    redis.call('DEL', KEYS[4])
elseif counted and (dropped > 0 or not known) then
    redis.pcall('SET', KEYS[4], string.format('%.0f', bytes))  -- refused in a full Redis when nothing was dropped
end
return causes
