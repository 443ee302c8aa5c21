-- A read of GetResult ends.
-- KEYS: 1 the case (hash)
-- ARGV: 1 flight  2 how (answered|refused|given_back|failed)  3 the raw answer, or the code of a refusal  4 unix seconds
-- An answer is kept whoever brings it: it has cost a read. A read is given back once, and only by its own flight.
-- Returns: count of notify, count of return.
local case, own = KEYS[1], redis.call('HGET', KEYS[1], 'flight') == ARGV[1]
if ARGV[2] == 'answered' then
    if redis.call('HSETNX', case, 'raw', ARGV[3]) == 1 then redis.call('HSET', case, 'raw_at', ARGV[4]) end
elseif ARGV[2] == 'refused' then
    redis.call('HSETNX', case, 'refused', ARGV[3])
end
if own then
    if ARGV[2] == 'given_back' or ARGV[2] == 'refused' then
        redis.call('HINCRBY', case, 'reads', -1)
        redis.call('HDEL', case, 'rest_until')
    end
    redis.call('HDEL', case, 'flight', 'flight_until')
end
local counts = redis.call('HMGET', case, 'count:notify', 'count:return')
return {tonumber(counts[1] or '0'), tonumber(counts[2] or '0')}
