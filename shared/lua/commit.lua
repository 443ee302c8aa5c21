-- The first decision of a case is its decision; whoever comes later is handed that one.
-- KEYS: 1 the case (hash)
-- ARGV: 1 the decision (JSON)  2 time to live, ms
-- Returns: the decision that stands, 1 when it is published already.
redis.call('HSETNX', KEYS[1], 'decision', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {redis.call('HGET', KEYS[1], 'decision'), redis.call('HEXISTS', KEYS[1], 'published')}
