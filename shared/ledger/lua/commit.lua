-- Commit the decision of a case. The first one stays; later callers get that one back. While an item owns the case, no
-- other item may commit: the owner has evidence that the other one did not judge.
-- KEYS: 1 the case (hash)  2 the account's counters of this minute (hash)
--       with a provisional decision too: 3 the outbox (sorted set)  4 its items (hash)
-- ARGV: 1 the decision as it is stored  2 TTL of the case, ms  3 the counter that rises by one  4 item id
--       with a provisional decision too: 5 account  6 biz_id
-- Returns: the decision in force as it is stored ("" when it is this one and new); 1 when it is published already, 2 when another item
--          owns the undecided case, else 0.
local case = KEYS[1]
local known = redis.call('HMGET', case, 'decision', 'owner', 'published', 'v')
if tonumber(known[4] or '1') > 1 then return redis.error_reply('ERR the case has a newer version') end
local new = not known[1]
if new and known[2] and known[2] ~= ARGV[4] then return {'', 2} end
if new then
    local values = ARGV[5] and {'provisional', 1} or {}
    add_text(values, 'decision', ARGV[1])
    redis.call('HSET', case, unpack(values))
    if redis.call('HINCRBY', KEYS[2], ARGV[3], 1) == 1 then redis.call('EXPIRE', KEYS[2], 7200) end
    if ARGV[5] and redis.call('HEXISTS', case, 'raw') == 1 then  -- the answer came after the read was given up
        local time = redis.call('TIME')
        local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
        local id = 'reclassify:' .. ARGV[5] .. ':' .. ARGV[6]
        redis.call('ZADD', KEYS[3], at, id)
        redis.call('HSET', KEYS[4], id, cjson.encode({id = id, stage = 'classify', reason = 'reclassify', at = tonumber(at),
            account = ARGV[5], biz_id = ARGV[6]}))
    end
end
redis.call('PEXPIRE', case, ARGV[2])
if new then return {'', 0} end
return {get_text(case, 'decision'), known[3] and 1 or 0}
