-- A read of GetResult ends.
-- KEYS: 1 the case (hash)  2 the account (hash)  3 the outbox of alerts (sorted set)  4 its items (hash)
-- ARGV: 1 flight  2 how (answered|refused|given_back|failed)  3 the raw answer, or a code  4 unix seconds
--       5 time to live of the case, ms  6 the account's name  7 the breaker's shortest rest, ms  8 biz_id
-- An answer is kept whoever brings it: it has cost a read. When the case was decided without it, the outbox recalls
-- the case. A read is given back once, and only by its own flight.
-- Returns: count of notify, count of return, 1 when it was still counted on (0: taken for dead, or told before).
local case, account, how = KEYS[1], KEYS[2], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function put(item)
    item.at, item.account = now / 1000, ARGV[6]
    redis.call('ZADD', KEYS[3], string.format('%.3f', item.at), item.id)
    redis.call('HSET', KEYS[4], item.id, cjson.encode(item))
end

local own = redis.call('HGET', case, 'flight') == ARGV[1]
if how == 'answered' then
    if redis.call('HSETNX', case, 'raw', ARGV[3]) == 1 then
        redis.call('HSET', case, 'raw_at', ARGV[4])
        if redis.call('HEXISTS', case, 'provisional') == 1 then
            local id = 'recall:' .. ARGV[6] .. ':' .. ARGV[8]
            put({id = id, stage = 'classify', reason = 'recall', biz_id = ARGV[8]})
        end
    end
elseif how == 'refused' then
    redis.call('HSETNX', case, 'refused', ARGV[3])
end
if own then
    if how == 'given_back' or how == 'refused' then
        redis.call('HINCRBY', case, 'reads', -1)
        redis.call('HDEL', case, 'rest_until')
    end
    redis.call('HDEL', case, 'flight', 'flight_until')
end
if redis.call('PTTL', case) < 0 then redis.call('PEXPIRE', case, ARGV[5]) end  -- it had expired meanwhile

-- The account's breaker: so many failures in a row open it, a failed probe opens it for longer, any answer closes it.
local BUSY_MS, DAY_MS, LONGEST = 500, 86400000, 20
local LIMITS = {given_back = 3, failed = 10}  -- calls that can't reach anything at all show it sooner
local function alert(kind, detail)
    local id = string.format('%s:%s:%.0f', kind, ARGV[6], now)
    put({id = id, stage = 'publish', reason = kind, detail = detail})
end

local function open()
    local times = redis.call('HINCRBY', account, 'openings', 1)
    local rest = tonumber(ARGV[7]) * math.min(2 ^ (times - 1), LONGEST)
    if redis.call('HSETNX', account, 'opened_at', string.format('%.3f', now / 1000)) == 1 then
        alert('breaker_opened', ARGV[3])
    end
    redis.call('HSET', account, 'open_until', string.format('%.0f', now + rest), 'code', ARGV[3])
    redis.call('HDEL', account, 'probe_until')
end

if not LIMITS[how] then
    if redis.call('EXISTS', account) == 1 then
        if redis.call('HEXISTS', account, 'opened_at') == 1 then alert('breaker_closed', how) end
        redis.call('DEL', account)
    end
elseif ARGV[3] == 'CONCURRENCY_LIMIT_EXCEEDED' then
    redis.call('HSET', account, 'busy_until', string.format('%.0f', now + BUSY_MS))
else
    local failures = redis.call('HINCRBY', account, 'failures', 1)
    local known = redis.call('HMGET', account, 'open_until', 'probe_until')
    if known[2] or (not known[1] and failures >= LIMITS[how]) then open() end
end
if LIMITS[how] then redis.call('PEXPIRE', account, DAY_MS) end
local counts = redis.call('HMGET', case, 'count:notify', 'count:return')
return {tonumber(counts[1] or '0'), tonumber(counts[2] or '0'), own and 1 or 0}
