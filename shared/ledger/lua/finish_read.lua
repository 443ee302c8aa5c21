-- End a read of GetResult.
-- KEYS: 1 the case (hash)  2 the account (hash)  3 the outbox (sorted set)  4 its items (hash)
-- ARGV: 1 read id  2 result (answered|refused|unusable|given_back|failed)  3 the raw answer as it is stored, or a code
--       4 unix seconds  5 TTL of the case, ms  6 account  7 the circuit breaker's shortest pause, ms  8 biz_id
--       9 how many times longer its longest pause is
-- An answer is stored even if its read was given up, since it has cost a read. If the case was decided without it, the outbox gets an
-- item that has the case classified again. A read is given back once, and only by the read that holds it.
-- Returns: count of notify, count of return, 1 when this read was still open (0: timed out, or finished before).
local case, account, result = KEYS[1], KEYS[2], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function put(item)
    item.at, item.account = now / 1000, ARGV[6]
    redis.call('ZADD', KEYS[3], string.format('%.3f', item.at), item.id)
    redis.call('HSET', KEYS[4], item.id, cjson.encode(item))
end

local known = redis.call('HMGET', case, 'read_id', 'raw', 'provisional', 'evidence_dropped_at', 'count:notify', 'count:return')
local open_read = known[1] == ARGV[1]
-- HDEL comes first: after a write a script may grow memory in a full Redis, and the answer has cost a read.
if open_read then redis.call('HDEL', case, 'read_id', 'read_until') end
if result == 'answered' then
    if not known[2] and not known[4] then
        local values = {'raw_at', ARGV[4]}
        add_text(values, 'raw', ARGV[3])
        redis.call('HSET', case, unpack(values))
        if known[3] then
            local id = 'reclassify:' .. ARGV[6] .. ':' .. ARGV[8]
            put({id = id, stage = 'classify', reason = 'reclassify', biz_id = ARGV[8]})
        end
    end
elseif result == 'refused' or result == 'unusable' then
    redis.call('HSETNX', case, 'refused', ARGV[3])
end
if open_read and (result == 'given_back' or result == 'refused') then
    redis.call('HINCRBY', case, 'reads', -1)
    redis.call('HDEL', case, 'next_read_at')
end
if redis.call('PTTL', case) < 0 then redis.call('PEXPIRE', case, ARGV[5]) end  -- the case had expired meanwhile

-- The account's circuit breaker: failures in a row open it, a failed probe opens it for longer, any answer closes it.
-- busy_until is no part of it: an answer says nothing about how many calls are too many.
local BUSY_MS, DAY_MS = 200, 86400000
local LIMITS = {given_back = 3, failed = 10}  -- calls that reach nothing at all open it sooner
local function alert(kind, detail)
    local id = string.format('%s:%s:%.0f', kind, ARGV[6], now)
    put({id = id, stage = 'publish', reason = kind, detail = detail})
end

local function open()
    local times = redis.call('HINCRBY', account, 'openings', 1)
    local pause = tonumber(ARGV[7]) * math.min(2 ^ (times - 1), tonumber(ARGV[9]))
    if redis.call('HSETNX', account, 'opened_at', string.format('%.3f', now / 1000)) == 1 then
        alert('breaker_opened', ARGV[3])
    end
    redis.call('HSET', account, 'open_until', string.format('%.0f', now + pause), 'code', ARGV[3])
    redis.call('HDEL', account, 'probe_until')
end

local function close()
    local busy_ms = tonumber(redis.call('HGET', account, 'busy_until') or '0') - now
    if busy_ms <= 0 then
        redis.call('DEL', account)
        return
    end
    redis.call('HDEL', account, 'failures', 'openings', 'opened_at', 'open_until', 'code', 'probe_until')
    redis.call('PEXPIRE', account, string.format('%.0f', busy_ms))
end

if not LIMITS[result] then
    if redis.call('EXISTS', account) == 1 then
        if redis.call('HEXISTS', account, 'opened_at') == 1 then alert('breaker_closed', result) end
        close()
    end
elseif ARGV[3] == 'CONCURRENCY_LIMIT_EXCEEDED' then
    redis.call('HSET', account, 'busy_until', string.format('%.0f', now + BUSY_MS))
elseif ARGV[3] == 'NO_FILE_DESCRIPTORS' then  -- the worker's fault: it says nothing about FaceID
    redis.call('HDEL', account, 'probe_until')
else
    local failures = redis.call('HINCRBY', account, 'failures', 1)
    local gate = redis.call('HMGET', account, 'open_until', 'probe_until')
    if gate[2] or (not gate[1] and failures >= LIMITS[result]) then open() end
end
if LIMITS[result] then redis.call('PEXPIRE', account, DAY_MS) end
return {tonumber(known[5] or '0'), tonumber(known[6] or '0'), open_read and 1 or 0}
