-- The oldest items go when a shelf is over its cap.
-- KEYS: 1 the shelf (sorted set of item ids)  2 its items (hash)
-- ARGV: 1 the cap  2 items dropped in one call at most
-- Returns: how many went.
local over = math.min(redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1]), tonumber(ARGV[2]))
if over <= 0 then return 0 end
local oldest = redis.call('ZPOPMIN', KEYS[1], over)
for place = 1, #oldest, 2 do redis.call('HDEL', KEYS[2], oldest[place]) end
return over
