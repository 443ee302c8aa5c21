-- Replace the decision in force and put the new one into the outbox, in one step.
-- KEYS: 1 the case (hash)  2 the outbox (sorted set)  3 its items (hash)
-- ARGV: 1 the decision that must be in force, as it is stored  2 its revision  3 the new decision, as it is stored
--       4 event id of the new decision  5 "1" when the new one is provisional, else ""  6 who and why (JSON)
--       7 TTL of the case, ms  8 unix seconds
--       9 how many items announce the old decision: they are added too when it is not published yet
--       10.. ids and contents of these items, then of those that announce the new decision
-- Returns: 1, or 0 when another decision is in force by now.
local case = KEYS[1]
if get_text(case, 'decision') ~= ARGV[1] then return 0 end
local first = 10
-- A worker publishes a decision only if it sets the field `published`, so an item with the old decision publishes nothing.
if redis.call('HEXISTS', case, 'published') == 1 then first = first + 2 * tonumber(ARGV[9]) end
local values = {'superseded:' .. ARGV[2], ARGV[6], 'published', ARGV[4]}
if ARGV[5] ~= '' then values[5], values[6] = 'provisional', 1 end
add_text(values, 'revision:' .. ARGV[2], ARGV[1])
add_text(values, 'decision', ARGV[3])
delete_text(case, 'decision')
redis.call('HDEL', case, 'provisional')
redis.call('HSET', case, unpack(values))
redis.call('PEXPIRE', case, ARGV[7])
for index = first, #ARGV, 2 do
    redis.call('ZADD', KEYS[2], ARGV[8], ARGV[index])
    redis.call('HSET', KEYS[3], ARGV[index], ARGV[index + 1])
end
return 1
