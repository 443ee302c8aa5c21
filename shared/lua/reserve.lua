-- A read of GetResult is counted before it is made, one at a time for a case over all workers.
-- KEYS: 1 the case (hash)
-- ARGV: 1 flight (a name for this read)  2 reads allowed  3 flight's longest life, ms  4.. rest after read 1, 2, ..., ms
-- Returns: {'stored', raw} | {'refused', code} | {'wait', ms} | {'spent', reads} | {'go', number of this read}.
local case = KEYS[1]
local known = redis.call('HMGET', case, 'raw', 'refused', 'reads', 'flight_until', 'rest_until', 'flight')
if known[1] then return {'stored', known[1]} end
if known[2] then return {'refused', known[2]} end
if known[6] == ARGV[1] then return {'go', tonumber(known[3])} end  -- asked again after a lost reply
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reads = tonumber(known[3] or '0')
local free_at = tonumber(known[4] or '0')
if free_at > now then return {'wait', free_at - now} end
if reads >= tonumber(ARGV[2]) then return {'spent', reads} end
local rested_at = tonumber(known[5] or '0')
if rested_at > now then return {'wait', rested_at - now} end
local rest = ARGV[math.min(3 + reads + 1, #ARGV)]
redis.call('HSET', case, 'reads', reads + 1, 'flight', ARGV[1],
    'flight_until', string.format('%.0f', now + tonumber(ARGV[3])),
    'rest_until', string.format('%.0f', now + tonumber(rest)))
return {'go', reads + 1}
