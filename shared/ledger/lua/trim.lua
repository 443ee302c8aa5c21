-- Drop the oldest items of a message set that is over its cap.
-- KEYS: 1 the message set (sorted set of item ids)  2 its items (hash)
-- ARGV: 1 the cap  2 most items dropped in one call
-- Returns: how many were dropped.
local over = math.min(redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1]), tonumber(ARGV[2]))
if over <= 0 then return 0 end
local oldest = redis.call('ZPOPMIN', KEYS[1], over)
for index = 1, #oldest, 2 do redis.call('HDEL', KEYS[2], oldest[index]) end
return over
