-- Count an arrival on its case and tell its item what to do.
-- KEYS: 1 the case (hash)  2 the index from biz_no to biz_id (string)  3 the outbox (sorted set)  4 its items (hash)
--       5 cases opened by unsigned returns this minute (string)  6 the account's counters of this minute (hash)
-- ARGV: 1 item id  2 channel  3 "1" when the item holds signed final evidence  4 biz_id  5 biz_no  6 received_at
--       7 index of the secret that matched ("" when unsigned)  8 TTL of the case, ms
--       9 most arrivals recorded one by one  10 fingerprint of the evidence ("" when it holds none)  11 account
--       12 TTL of a case with unsigned returns only, ms  13 most cases that unsigned returns may open in a minute
--       14 the signed text of that evidence, as it is stored ("" when there is none)
--       15 most signed texts stored for a case  16 most bytes of them
-- Returns: verdict (decided|joined|own|recheck|rate_limited), count of notify, count of return, for the owner all signed
--          texts of the case as they are stored, oldest first (none when its own is the only one), and 1 when signed
--          evidence of the case that differs is not stored.
local case, item, unsigned, fingerprint = KEYS[1], ARGV[1], ARGV[7] == '', ARGV[10]
local known = redis.call('HMGET', case, 'count:notify', 'count:return', 'arrival:' .. item, 'fingerprint', 'owner', 'published',
    'texts', 'left_out', 'evidence_dropped_at', 'v')
if tonumber(known[10] or '1') > 1 then return redis.error_reply('ERR the case has a newer version') end
local counts = {notify = tonumber(known[1] or '0'), ['return'] = tonumber(known[2] or '0')}
local recorded = counts.notify + counts['return']  -- below the limit each of them is recorded
local opens = recorded == 0 and unsigned and redis.call('EXISTS', case) == 0
if opens then  -- anybody can invent ids, so the cases that unsigned returns open are limited
    local opened = redis.call('INCR', KEYS[5])
    if opened == 1 then redis.call('PEXPIRE', KEYS[5], 60000) end
    if opened > tonumber(ARGV[13]) then return {'rate_limited', 0, 0, {}, 0} end
end
if not known[3] then
    counts[ARGV[2]] = redis.call('HINCRBY', case, 'count:' .. ARGV[2], 1)
    if recorded < tonumber(ARGV[9]) then
        redis.call('HSET', case, 'arrival:' .. item, ARGV[2] .. '|' .. ARGV[6] .. '|' .. ARGV[7])
        -- Only recorded arrivals are counted: a signed callback that is replayed without end must not hide forged ones.
        if not unsigned and redis.call('HINCRBY', KEYS[6], 'verified', 1) == 1 then
            redis.call('EXPIRE', KEYS[6], 7200)
        end
    end
end
if opens then redis.call('PEXPIRE', case, ARGV[12]) end
if ARGV[5] ~= '' then
    redis.call('HSETNX', case, 'biz_no', ARGV[5])
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[8])
end
if not unsigned then redis.call('PEXPIRE', case, ARGV[8]) end

-- Signed evidence with another fingerprint than the first one raises an alert, once for each fingerprint. It raises none
-- when the first one contradicted the decision: raise_conflict.lua has raised that alert.
local function raise_alert(name)
    if redis.call('HEXISTS', case, 'conflict:' .. known[4]) == 1 then return end
    local time = redis.call('TIME')
    local id = 'evidence_conflict:' .. ARGV[11] .. ':' .. ARGV[4] .. ':' .. name
    local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
    redis.call('ZADD', KEYS[3], at, id)
    redis.call('HSET', KEYS[4], id, cjson.encode({id = id, stage = 'publish', reason = 'evidence_conflict',
        detail = ARGV[2], at = tonumber(at), account = ARGV[11], biz_id = ARGV[4]}))
end

-- The stored signed texts, oldest first, the number of the last one, and their length. Some may have been dropped; the
-- item's own text can stand in for the first one if both have the same fingerprint.
local function stored_texts(own)
    local texts, last, bytes = {}, tonumber(known[7] or '1'), 0
    for number = 1, last do
        local text = get_text(case, number == 1 and 'callback' or 'callback:' .. number) or (number == 1 and own)
        if text then
            texts[#texts + 1], bytes = text, bytes + #text
        end
    end
    return texts, last, bytes
end

-- Store a text that differs from the earlier ones. Beyond the limits only the fact is kept that there are more.
local function store_later(texts, last, bytes)
    if last < tonumber(ARGV[15]) and bytes + #ARGV[14] <= tonumber(ARGV[16]) then
        local values = {'conflict:' .. fingerprint, item, 'texts', last + 1}
        add_text(values, 'callback:' .. last + 1, ARGV[14])
        redis.call('HSET', case, unpack(values))
        raise_alert(fingerprint)
    else
        known[8] = redis.call('HINCRBY', case, 'left_out', 1)
        if known[8] == 1 then raise_alert('left_out') end
    end
    texts[#texts + 1] = ARGV[14]
end

-- One item owns the case: the last one that brought new signed evidence, even if a decision is published already. It
-- judges all signed texts of the case. Later arrivals join it. While nobody owns the case, one signed item and one
-- unsigned item recheck it: the unsigned one gives up early and never spends the last read, so it can't stand in for
-- the signed one.
local evidence = ARGV[3] == '1'
local first = evidence and not known[4]
local other = evidence and not first and known[4] ~= fingerprint
local fresh = first or (other and redis.call('HEXISTS', case, 'conflict:' .. fingerprint) == 0)
local owner = not fresh and known[5]
local verdict, texts = 'joined', {}
if first then
    verdict = 'own'
    local values = {'owner', item, 'fingerprint', fingerprint}
    add_text(values, 'callback', ARGV[14])
    redis.call('HSET', case, unpack(values))
elseif evidence and (fresh or not owner or owner == item) then
    verdict = 'own'
    redis.call('HSET', case, 'owner', item)
    local last, bytes
    texts, last, bytes = stored_texts(not other and ARGV[14])
    if fresh then store_later(texts, last, bytes) end
elseif known[6] then
    verdict = 'decided'
elseif not evidence and not owner then
    local role = unsigned and 'unsigned_recheck' or 'signed_recheck'
    redis.call('HSETNX', case, role, item)
    if redis.call('HGET', case, role) == item then verdict = 'recheck' end
end
if #texts == 1 and texts[1] == ARGV[14] then texts = {} end
local unseen = verdict == 'own' and (known[8] or (other and known[9]))
return {verdict, counts.notify, counts['return'], texts, unseen and 1 or 0}
