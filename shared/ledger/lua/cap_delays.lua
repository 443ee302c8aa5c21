-- Make items due at once that are due too late: a wrong clock has delayed them.
-- KEYS: 1 the message set (sorted set of item ids)
-- ARGV: 1 longest delay in seconds  2 most items in one call
-- Returns: how many were made due.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local late = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('(%.6f', now + ARGV[1]), '+inf', 'LIMIT', 0, ARGV[2])
for _, id in ipairs(late) do
    redis.call('ZREM', KEYS[1], id)  -- first: after a write a script may grow memory in a full Redis
    redis.call('ZADD', KEYS[1], string.format('%.6f', now), id)
end
return #late
