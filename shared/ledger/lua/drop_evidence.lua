-- Delete the evidence of published cases to free memory. Their decisions, reads, refusals and fingerprints stay.
-- KEYS: 1 how many items maintenance has dropped, by kind (hash)  2.. cases (hashes)
-- ARGV: 1 longest time, in ms, that a case has left to live: older cases have less
-- Returns: how many cases have lost evidence.
-- The first write is HDEL, so it works in a full Redis.
local function is_deletable(case)
    local left = redis.call('PTTL', case)
    if left < 0 or left > tonumber(ARGV[1]) then return false end
    -- A provisional decision is compared with an answer that comes later. Without a fingerprint, evidence that
    -- contradicts the answer would not be noticed.
    local known = redis.call('HMGET', case, 'published', 'provisional', 'fingerprint')
    return known[1] and not known[2] and known[3]
end

local dropped = 0
for index = 2, #KEYS do
    local case = KEYS[index]
    if is_deletable(case) then
        local deleted = delete_text(case, 'raw') + delete_text(case, 'set_aside') + delete_text(case, 'callback')
        for number = 2, tonumber(redis.call('HGET', case, 'texts') or '1') do
            deleted = deleted + delete_text(case, 'callback:' .. number)
        end
        if deleted > 0 then
            redis.call('HSET', case, 'evidence_dropped_at', redis.call('TIME')[1])
            dropped = dropped + 1
        end
    end
end
if dropped > 0 then redis.call('HINCRBY', KEYS[1], 'evidence', dropped) end
return dropped
