-- Remove items from a message set and run the commands of each in the same step.
-- KEYS: 1 the message set (sorted set of item ids)  2 its items (hash)
--       3 the bytes of all items (string; only for a set whose bytes are counted)
-- ARGV: for each item: its id, the time that it must still have ("" for any), how many commands, and for each command
--       how many arguments, and the arguments
-- Returns: for each item 1 when it was taken, 0 when it was not there, or why a command was refused: then it stays.
local function grow(bytes)
    if #KEYS > 2 and redis.call('EXISTS', KEYS[3]) == 1 then redis.call('INCRBY', KEYS[3], bytes) end
end

local function run(commands)
    for _, range in ipairs(commands) do redis.call(unpack(ARGV, range[1], range[2])) end
end

local function take(id, expected, commands)
    local time, item = redis.call('ZSCORE', KEYS[1], id), redis.call('HGET', KEYS[2], id)
    local bytes = item and #item or 0
    if not time or (expected ~= '' and tonumber(time) ~= tonumber(expected)) then return 0 end
    -- ZREM first: after a write a script may grow memory in a full Redis.
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    grow(-bytes)
    local done, why = pcall(run, commands)
    if done then return 1 end
    redis.call('ZADD', KEYS[1], time, id)
    if item then redis.call('HSET', KEYS[2], id, item) end
    grow(bytes)
    return type(why) == 'table' and why.err or tostring(why)
end

local at, taken = 1, {}
while at <= #ARGV do
    local id, expected, commands = ARGV[at], ARGV[at + 1], {}
    local count = tonumber(ARGV[at + 2])
    at = at + 3
    for n = 1, count do
        local arguments = tonumber(ARGV[at])
        commands[n] = {at + 1, at + arguments}
        at = at + arguments + 1
    end
    taken[#taken + 1] = take(id, expected, commands)
end
if #KEYS > 2 and redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
return taken
