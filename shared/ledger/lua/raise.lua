-- An alert is raised, unless one of its kind was within its window: the mark and the alert are written together.
-- KEYS: 1 the mark of the kind and the account (string)  2 the outbox of alerts (sorted set)  3 its items (hash)
-- ARGV: 1 time to live of the mark, ms  2 unix seconds  3 id of the alert  4 the alert as it lies in the outbox
-- Returns: 1 when it is raised by this call.
redis.call('ZREM', KEYS[2], '')  -- removes nothing; but a script that has written may go on in a full Redis
if not redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
return 1
