-- Raise an alert, unless one of its kind was raised within its window. The mark and the alert are written together.
-- KEYS: 1 the mark of kind and account (string)  2 the outbox (sorted set)  3 its items (hash)
-- ARGV: 1 TTL of the mark, ms  2 unix seconds  3 id of the alert  4 the alert as an item of the outbox
-- Returns: 1 when this call has raised it, else 0.
redis.call('ZREM', KEYS[2], '')  -- removes nothing: after a write a script may grow memory in a full Redis
if not redis.call('SET', KEYS[1], ARGV[3], 'NX', 'PX', ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[3])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4])
return 1
