-- Set a stored answer aside that decides nothing (NOT_STARTED, PROCESSING, not JSON), so that GetResult may be read again.
-- KEYS: 1 the case (hash)
-- ARGV: 1 the raw answer as it is stored
-- Returns: 1 when it was there, else 0.
local case = KEYS[1]
if get_text(case, 'raw') ~= ARGV[1] then return 0 end
local values = {}
add_text(values, 'set_aside', ARGV[1])
delete_text(case, 'raw')
delete_text(case, 'set_aside')
redis.call('HDEL', case, 'raw_at')
redis.call('HSET', case, unpack(values))
return 1
