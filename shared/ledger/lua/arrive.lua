-- An arrival is counted on its case and told what its item may do.
-- KEYS: 1 the case (hash)  2 the index from biz_no to biz_id (string)  3 the outbox of alerts (sorted set)  4 its items
--       5 how many cases hints have opened this minute (string)  6 what was counted of the account this minute (hash)
-- ARGV: 1 item id  2 channel  3 "1" when the item holds signed final evidence  4 biz_id  5 biz_no  6 received_at
--       7 secret that matched ("" when unsigned)  8 time to live, ms  9 arrivals noted one by one at most
--       10 gist of the evidence ("" when it holds none)  11 the account's name
--       12 time to live of a case that only hints have come for, ms  13 cases that hints may open in a minute
--       14 the signed text that the gist is of ("" when there is none)
-- Returns: verdict (decided|joined|carry|look|flooded), count of notify, count of return.
local case, item, hint = KEYS[1], ARGV[1], ARGV[7] == ''
if redis.call('HLEN', case) == 0 then
    if hint then  -- anybody can make up ids: they may cost so much and no more
        local opened = redis.call('INCR', KEYS[5])
        if opened == 1 then redis.call('PEXPIRE', KEYS[5], 60000) end
        if opened > tonumber(ARGV[13]) then return {'flooded', 0, 0} end
    end
    redis.call('HSET', case, 'opened_at', ARGV[6])
    if hint then redis.call('PEXPIRE', case, ARGV[12]) end
end
local noted = tonumber(redis.call('HGET', case, 'noted') or '0')
if redis.call('HEXISTS', case, 'arrival:' .. item) == 0 then
    redis.call('HINCRBY', case, 'count:' .. ARGV[2], 1)
    if noted < tonumber(ARGV[9]) then
        redis.call('HSET', case, 'arrival:' .. item, ARGV[2] .. '|' .. ARGV[6] .. '|' .. ARGV[7])
        redis.call('HINCRBY', case, 'noted', 1)
        -- Only what is noted: a signed callback that is replayed without end must not hide forged ones.
        if not hint and redis.call('HINCRBY', KEYS[6], 'verified', 1) == 1 then redis.call('EXPIRE', KEYS[6], 7200) end
    end
end
if ARGV[5] ~= '' then
    redis.call('HSETNX', case, 'biz_no', ARGV[5])
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[8])
end
if not hint then redis.call('PEXPIRE', case, ARGV[8]) end

-- Signed evidence that says something else than what came first: once for each thing it says, a person must know.
if ARGV[10] ~= '' and redis.call('HSETNX', case, 'gist', ARGV[10]) == 0 and redis.call('HGET', case, 'gist') ~= ARGV[10]
    and redis.call('HSETNX', case, 'conflict:' .. ARGV[10], item) == 1 then
    local time = redis.call('TIME')
    local id = 'evidence_conflict:' .. ARGV[11] .. ':' .. ARGV[4] .. ':' .. ARGV[10]
    local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
    redis.call('ZADD', KEYS[3], at, id)
    redis.call('HSET', KEYS[4], id, cjson.encode({id = id, stage = 'publish', reason = 'evidence_conflict',
        detail = ARGV[2], at = tonumber(at), account = ARGV[11], biz_id = ARGV[4]}))
end

-- One item carries a case; what arrives while it is under way joins it. Without a carrier one signed item watches it,
-- and one hint looks: a hint gives up early and never spends the last read, so it can't look in a signed item's place.
-- A decision that is not published yet is still being carried: its item may come again after its worker's death.
-- The carrier's text is kept: what the decision rests on, should it have to be made again.
local verdict = 'joined'
if redis.call('HEXISTS', case, 'published') == 1 then
    verdict = 'decided'
elseif ARGV[3] == '1' then
    if redis.call('HSETNX', case, 'carrier', item) == 1 then
        redis.call('HSET', case, 'callback', ARGV[14])
        verdict = 'carry'
    elseif redis.call('HGET', case, 'carrier') == item then
        verdict = 'carry'
    end
elseif redis.call('HEXISTS', case, 'carrier') == 0 then
    local role = hint and 'looker' or 'watcher'
    redis.call('HSETNX', case, role, item)
    if redis.call('HGET', case, role) == item then verdict = 'look' end
end
local counts = redis.call('HMGET', case, 'count:notify', 'count:return')
return {verdict, tonumber(counts[1] or '0'), tonumber(counts[2] or '0')}
