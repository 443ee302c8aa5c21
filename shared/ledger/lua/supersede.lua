-- A decision takes the place of the one that it was made against, and goes into the outbox: both, or neither.
-- KEYS: 1 the case (hash)  2 the outbox (sorted set)  3 its items (hash)
-- ARGV: 1 the decision that has to stand, byte for byte  2 its revision  3 the decision that takes its place
--       4 id of the event that tells of that  5 "1" when that is provisional, else ""  6 who and why (JSON)
--       7 time to live of the case, ms  8 unix seconds
--       9 how many items tell of the decision that stood: they go along when it is not out yet
--       10.. ids and contents of these items, then of those that tell of the new decision
-- Returns: 1, or 0 when another decision stands by now.
local case = KEYS[1]
if redis.call('HGET', case, 'decision') ~= ARGV[1] then return 0 end
local first = 10
-- Whoever marks a decision as published is the one who lets it out, so an item on its way with the old one stays in.
if redis.call('HEXISTS', case, 'published') == 1 then first = first + 2 * tonumber(ARGV[9]) end
redis.call('HSET', case, 'revision:' .. ARGV[2], ARGV[1], 'superseded:' .. ARGV[2], ARGV[6], 'decision', ARGV[3],
    'published', ARGV[4])
redis.call('HDEL', case, 'provisional')
if ARGV[5] ~= '' then redis.call('HSET', case, 'provisional', 1) end
redis.call('PEXPIRE', case, ARGV[7])
for place = first, #ARGV, 2 do
    redis.call('ZADD', KEYS[2], ARGV[8], ARGV[place])
    redis.call('HSET', KEYS[3], ARGV[place], ARGV[place + 1])
end
return 1
