-- Count an arrival on its case and tell its item what to do.
-- KEYS: 1 the case (hash)  2 the index from biz_no to biz_id (string)  3 the outbox (sorted set)  4 its items (hash)
--       5 cases opened by unsigned returns this minute (string)  6 the account's counters of this minute (hash)
-- ARGV: 1 item id  2 channel  3 "1" when the item holds signed final evidence  4 biz_id  5 biz_no  6 received_at
--       7 index of the secret that matched ("" when unsigned)  8 TTL of the case, ms
--       9 most arrivals recorded one by one  10 fingerprint of the evidence ("" when it holds none)  11 account
--       12 TTL of a case with unsigned returns only, ms  13 most cases that unsigned returns may open in a minute
--       14 the signed text of that evidence ("" when there is none)
-- Returns: verdict (decided|joined|own|recheck|rate_limited), count of notify, count of return, and for the owner all
--          signed texts of the case, oldest first, separated by a record separator ("" when its own is the only one).
local case, item, unsigned = KEYS[1], ARGV[1], ARGV[7] == ''
if redis.call('HLEN', case) == 0 then
    if unsigned then  -- anybody can invent ids, so the cases they open are limited
        local opened = redis.call('INCR', KEYS[5])
        if opened == 1 then redis.call('PEXPIRE', KEYS[5], 60000) end
        if opened > tonumber(ARGV[13]) then return {'rate_limited', 0, 0, ''} end
    end
    redis.call('HSET', case, 'opened_at', ARGV[6])
    if unsigned then redis.call('PEXPIRE', case, ARGV[12]) end
end
local noted = tonumber(redis.call('HGET', case, 'noted') or '0')
if redis.call('HEXISTS', case, 'arrival:' .. item) == 0 then
    redis.call('HINCRBY', case, 'count:' .. ARGV[2], 1)
    if noted < tonumber(ARGV[9]) then
        redis.call('HSET', case, 'arrival:' .. item, ARGV[2] .. '|' .. ARGV[6] .. '|' .. ARGV[7])
        redis.call('HINCRBY', case, 'noted', 1)
        -- Only recorded arrivals are counted: a signed callback that is replayed without end must not hide forged ones.
        if not unsigned and redis.call('HINCRBY', KEYS[6], 'verified', 1) == 1 then
            redis.call('EXPIRE', KEYS[6], 7200)
        end
    end
end
if ARGV[5] ~= '' then
    redis.call('HSETNX', case, 'biz_no', ARGV[5])
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[8])
end
if not unsigned then redis.call('PEXPIRE', case, ARGV[8]) end

-- Signed evidence with another fingerprint than the first one raises an alert, once for each fingerprint. It raises none
-- when the first one contradicted the decision: raise_conflict.lua has raised that alert.
local evidence, first, fresh, earliest = ARGV[3] == '1', false, false, ''
if evidence then
    first = redis.call('HSETNX', case, 'fingerprint', ARGV[10]) == 1
    earliest = first and ARGV[10] or redis.call('HGET', case, 'fingerprint')
    fresh = first or (earliest ~= ARGV[10] and redis.call('HSETNX', case, 'conflict:' .. ARGV[10], item) == 1)
end
if fresh and not first and redis.call('HEXISTS', case, 'conflict:' .. earliest) == 0 then
    local time = redis.call('TIME')
    local id = 'evidence_conflict:' .. ARGV[11] .. ':' .. ARGV[4] .. ':' .. ARGV[10]
    local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
    redis.call('ZADD', KEYS[3], at, id)
    redis.call('HSET', KEYS[4], id, cjson.encode({id = id, stage = 'publish', reason = 'evidence_conflict',
        detail = ARGV[2], at = tonumber(at), account = ARGV[11], biz_id = ARGV[4]}))
end

-- One item owns the case: the last one that brought new signed evidence, even if a decision is published already. It
-- judges all signed texts of the case. Later arrivals join it. While nobody owns the case, one signed item and one
-- unsigned item recheck it: the unsigned one gives up early and never spends the last read, so it can't stand in for
-- the signed one.
local RECORD_SEPARATOR = '\30'  -- strict JSON can't contain it (RFC 7464)
local verdict, texts = 'joined', ''
local owner = not fresh and redis.call('HGET', case, 'owner')
if evidence and (fresh or not owner or owner == item) then
    verdict = 'own'
    texts = not first and redis.call('HGET', case, 'callback') or ''
    if texts == '' then
        texts = ARGV[14]
    elseif fresh then
        texts = texts .. RECORD_SEPARATOR .. ARGV[14]
    end
    redis.call('HSET', case, 'owner', item, 'callback', texts)
elseif redis.call('HEXISTS', case, 'published') == 1 then
    verdict = 'decided'
elseif not evidence and not owner then
    local role = unsigned and 'unsigned_recheck' or 'signed_recheck'
    redis.call('HSETNX', case, role, item)
    if redis.call('HGET', case, role) == item then verdict = 'recheck' end
end
local counts = redis.call('HMGET', case, 'count:notify', 'count:return')
return {verdict, tonumber(counts[1] or '0'), tonumber(counts[2] or '0'), texts ~= ARGV[14] and texts or ''}
