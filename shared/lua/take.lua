-- Items leave a shelf, each for the commands that put it somewhere else: once, whoever tries.
-- KEYS: 1 the shelf (sorted set of item ids)  2 its items (hash)
-- ARGV: for each item: its id, how many commands, and for each command how many words, and the words
-- Returns: for each item 1 when it was taken, 0 when it was not there.
local at, taken = 1, {}
while at <= #ARGV do
    local id, commands = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    local here = redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    for _ = 1, commands do
        local words = tonumber(ARGV[at])
        if here == 1 then redis.call(unpack(ARGV, at + 1, at + words)) end
        at = at + words + 1
    end
    taken[#taken + 1] = here
end
return taken
