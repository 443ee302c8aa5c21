-- Count a read of GetResult before it is made: one at a time for a case, over all workers.
-- KEYS: 1 the case (hash)  2 the account (hash)  3 reads that unsigned returns have cost this minute (string)
-- ARGV: 1 read id  2 reads allowed  3 longest time of one read, ms
--       4 reads that unsigned returns may cost in a minute ("" for signed evidence)
--       5 longest pause of the account's circuit breaker, ms  6.. pause after read 1, 2, ..., ms; the last one repeats
-- Returns: {'stored', the raw answer as it is stored} | {'refused', code} | {'wait', ms, why} | {'spent', reads} | {'rate_limited', reads}
--          | {'go', number of this read}.
local case, account = KEYS[1], KEYS[2]
local known = redis.call('HMGET', case, 'raw', 'refused', 'reads', 'read_until', 'next_read_at', 'read_id',
    'evidence_dropped_at')
if known[1] then return {'stored', get_text(case, 'raw')} end
if known[2] then return {'refused', known[2]} end
if known[7] then return {'refused', 'EVIDENCE_DROPPED'} end  -- its result was read, or is not to be
if known[6] == ARGV[1] then return {'go', tonumber(known[3])} end  -- asked again after a lost reply
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reads = tonumber(known[3] or '0')

-- A time until which is waited. One that is further away than the longest wait was written before Redis's clock was set
-- back: it is replaced.
local function until_(key, field, value, longest)
    local time_until = tonumber(value or '0')
    if time_until <= now + longest then return time_until end
    redis.call('HSET', key, field, string.format('%.0f', now + longest))
    return now + longest
end

local longest_read = tonumber(ARGV[3])
local read_until = until_(case, 'read_until', known[4], longest_read)
-- Another item may wait for this read, so it asks again each second: most reads are shorter.
if read_until > now then return {'wait', math.min(read_until - now, 1000), 'read_spacing'} end
-- A read that has not finished by now is given up with its worker. finish_read tells that worker, should it come back.
if known[6] then redis.call('HDEL', case, 'read_id', 'read_until') end
if reads >= tonumber(ARGV[2]) then return {'spent', reads} end
local longest_rest = 0
for index = 6, #ARGV do longest_rest = math.max(longest_rest, tonumber(ARGV[index])) end
local next_read_at = until_(case, 'next_read_at', known[5], longest_rest)
if next_read_at > now then return {'wait', next_read_at - now, 'read_spacing'} end

-- The account: while its circuit breaker is open nothing is read, and after that one probe at a time.
local gate = redis.call('HMGET', account, 'busy_until', 'open_until', 'probe_until')
local BUSY_MS = 60000  -- more than any version writes: finish_read.lua writes 200
local busy_until = until_(account, 'busy_until', gate[1], BUSY_MS)
local open_until = until_(account, 'open_until', gate[2], tonumber(ARGV[5]))
local probe_until = until_(account, 'probe_until', gate[3], longest_read)
if busy_until > now then return {'wait', busy_until - now, 'vendor_busy'} end
if open_until > now then return {'wait', open_until - now, 'breaker_open'} end
if probe_until > now then return {'wait', math.min(probe_until - now, 1000), 'breaker_open'} end
if ARGV[4] ~= '' then
    local cost = redis.call('INCR', KEYS[3])
    if cost == 1 then redis.call('PEXPIRE', KEYS[3], 60000) end
    if cost > tonumber(ARGV[4]) then return {'rate_limited', cost} end
end
if open_until > 0 then redis.call('HSET', account, 'probe_until', string.format('%.0f', now + tonumber(ARGV[3]))) end

local pause = ARGV[math.min(5 + reads + 1, #ARGV)]
redis.call('HSET', case, 'reads', reads + 1, 'read_id', ARGV[1],
    'read_until', string.format('%.0f', now + tonumber(ARGV[3])),
    'next_read_at', string.format('%.0f', now + tonumber(pause)))
-- The count of reads must outlive the result, which FaceID keeps for a day.
local DAY_MS = 86400000
if redis.call('PTTL', case) < DAY_MS then redis.call('PEXPIRE', case, DAY_MS) end
return {'go', reads + 1}
