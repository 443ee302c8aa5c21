-- Items whose time has come are put off for a while: whoever does so has them to itself for as long.
-- KEYS: 1 the shelf (sorted set of item ids)
-- ARGV: 1 seconds  2... item ids
-- Returns: the time that the caller's items have now, and their ids.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local until_ = string.format('%.6f', now + tonumber(ARGV[1]))
local mine = {until_}
for n = 2, #ARGV do
    local due = redis.call('ZSCORE', KEYS[1], ARGV[n])
    if due and tonumber(due) <= now then
        -- Removing first is what lets a full Redis add it again.
        redis.call('ZREM', KEYS[1], ARGV[n])
        redis.call('ZADD', KEYS[1], until_, ARGV[n])
        mine[#mine + 1] = ARGV[n]
    end
end
return mine
