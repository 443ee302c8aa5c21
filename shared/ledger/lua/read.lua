-- Read items of a message set, as many as fit into one answer.
-- KEYS: 1 its items (hash)  2 the message set (sorted set of item ids)
-- ARGV: 1 most bytes of the answer  2.. item ids
-- Returns: how many of the ids were looked up (at least one); for each of them the item (nil: there is none), and its
--          time ("" without one).
local size, items, times = 0, {}, {}
for index = 2, #ARGV do
    size = size + redis.call('HSTRLEN', KEYS[1], ARGV[index])
    if size > tonumber(ARGV[1]) and index > 2 then return {index - 2, items, times} end
    local item = redis.call('HGET', KEYS[1], ARGV[index])
    items[#items + 1] = item
    times[#times + 1] = redis.call('ZSCORE', KEYS[2], ARGV[index]) or ''
end
return {#ARGV - 1, items, times}
