-- Move an item that can't be read from its message set to the dead letters. An id without an item is removed.
-- KEYS: 1 the message set (sorted set of item ids)  2 its items (hash)  3 the dead letters (sorted set)  4 their items (hash)
-- ARGV: 1 item id  2 the item as it was read ("" for none)  3 id of the dead letter  4 the dead letter
-- Returns: 1 when this call has moved or removed it, else 0: it is another item by now, or gone.
local item = redis.call('HGET', KEYS[2], ARGV[1]) or ''
if item ~= ARGV[2] or redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
if item == '' then return 1 end
local time = redis.call('TIME')
redis.call('ZADD', KEYS[3], string.format('%d.%06d', time[1], time[2]), ARGV[3])
redis.call('HSET', KEYS[4], ARGV[3], ARGV[4])
return 1
