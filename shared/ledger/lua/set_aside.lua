-- Set a stored answer aside that decides nothing (NOT_STARTED, PROCESSING, not JSON), so that GetResult may be read again.
-- KEYS: 1 the case (hash)
-- ARGV: 1 the raw answer as it was read
-- Returns: 1 when it was there, else 0.
if redis.call('HGET', KEYS[1], 'raw') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'raw', 'raw_at')
redis.call('HSET', KEYS[1], 'set_aside', ARGV[1])
return 1
