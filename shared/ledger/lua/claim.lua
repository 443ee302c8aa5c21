-- Postpone items that are due: the caller alone may work on them until their new time.
-- KEYS: 1 the message set (sorted set of item ids)
-- ARGV: 1 seconds  2... item ids
-- Returns: the new time, and the ids of the items that this call has postponed.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local until_ = string.format('%.6f', now + tonumber(ARGV[1]))
local claimed = {until_}
for n = 2, #ARGV do
    local due = redis.call('ZSCORE', KEYS[1], ARGV[n])
    if due and tonumber(due) <= now then
        -- ZREM first: after a write a script may grow memory in a full Redis.
        redis.call('ZREM', KEYS[1], ARGV[n])
        redis.call('ZADD', KEYS[1], until_, ARGV[n])
        claimed[#claimed + 1] = ARGV[n]
    end
end
return claimed
