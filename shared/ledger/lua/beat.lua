-- Write a worker's heartbeat. The time is Redis's own: a worker's clock may be wrong.
-- KEYS: 1 the heartbeat (string)  2 the ids of workers by the time of their last heartbeat (sorted set)
-- ARGV: 1 the heartbeat as JSON  2 its TTL, ms  3 id of the worker  4 how long ids are kept, ms  5 most ids
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[4])  -- first: after a write a script may grow memory
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
