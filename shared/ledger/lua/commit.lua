-- Commit the decision of a case. The first one stays; later callers get that one back.
-- KEYS: 1 the case (hash)  2 the account's counters of this minute (hash)
--       with a provisional decision too: 3 the outbox (sorted set)  4 its items (hash)
-- ARGV: 1 the decision (JSON)  2 TTL of the case, ms  3 the counter that rises by one
--       with a provisional decision too: 4 account  5 biz_id
-- Returns: the decision in force ("" when it is this one and new); 1 when it is published already, else 0.
local case = KEYS[1]
local new = redis.call('HSETNX', case, 'decision', ARGV[1]) == 1
if new then
    if redis.call('HINCRBY', KEYS[2], ARGV[3], 1) == 1 then redis.call('EXPIRE', KEYS[2], 7200) end
    if ARGV[4] then redis.call('HSET', case, 'provisional', 1) end
    if ARGV[4] and redis.call('HEXISTS', case, 'raw') == 1 then  -- the answer came after the read was given up
        local time = redis.call('TIME')
        local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
        local id = 'reclassify:' .. ARGV[4] .. ':' .. ARGV[5]
        redis.call('ZADD', KEYS[3], at, id)
        redis.call('HSET', KEYS[4], id, cjson.encode({id = id, stage = 'classify', reason = 'reclassify', at = tonumber(at),
            account = ARGV[4], biz_id = ARGV[5]}))
    end
end
redis.call('PEXPIRE', case, ARGV[2])
if new then return {'', 0} end
return {redis.call('HGET', case, 'decision'), redis.call('HEXISTS', case, 'published')}
