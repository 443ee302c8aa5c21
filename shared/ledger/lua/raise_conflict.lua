-- Raise an alert that the first signed evidence of a case contradicts its decision. arrive.lua raises one for any later evidence.
-- KEYS: 1 the case (hash)  2 the outbox (sorted set)  3 its items (hash)
-- ARGV: 1 account  2 biz_id  3 item id  4 channel
-- Returns: 1 when this call has raised it, else 0.
local case = KEYS[1]
local known = redis.call('HMGET', case, 'fingerprint', 'texts', 'left_out')
if not known[1] or known[2] or known[3] then return 0 end
if redis.call('HSETNX', case, 'conflict:' .. known[1], ARGV[3]) == 0 then return 0 end
local time = redis.call('TIME')
local id = 'evidence_conflict:' .. ARGV[1] .. ':' .. ARGV[2] .. ':' .. known[1]
local at = string.format('%d.%03d', time[1], math.floor(time[2] / 1000))
redis.call('ZADD', KEYS[2], at, id)
redis.call('HSET', KEYS[3], id, cjson.encode({id = id, stage = 'publish', reason = 'evidence_conflict', detail = ARGV[4],
    at = tonumber(at), account = ARGV[1], biz_id = ARGV[2]}))
return 1
