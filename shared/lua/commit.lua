-- The first decision of a case is its decision; whoever comes later is handed that one.
-- KEYS: 1 the case (hash)  2 what was counted of the account this minute (hash)
-- ARGV: 1 the decision (JSON)  2 time to live, ms  3 what it counts as
-- Returns: the decision that stands, 1 when it is published already.
if redis.call('HSETNX', KEYS[1], 'decision', ARGV[1]) == 1 and redis.call('HINCRBY', KEYS[2], ARGV[3], 1) == 1 then
    redis.call('EXPIRE', KEYS[2], 7200)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {redis.call('HGET', KEYS[1], 'decision'), redis.call('HEXISTS', KEYS[1], 'published')}
