-- The texts of a case: stored, read and deleted by these functions alone, which stand before every script.
-- A text of at most 512 bytes is stored in pieces of 64: in the field NAME, then NAME.1, NAME.2, ... Redis keeps a hash in
-- its compact form (listpack) only while no value is longer than hash-max-listpack-value, which is 64 by default.
local PIECE, PIECES = 64, 8

local function text_fields(name)
    local fields = {name}
    for number = 1, PIECES - 1 do fields[number + 1] = name .. '.' .. number end
    return fields
end

-- Adds the text to a list of fields and values for HSET. None of its fields may exist.
local function add_text(values, name, text)
    if #text > PIECE * PIECES then
        values[#values + 1], values[#values + 2] = name, text
        return
    end
    local fields = text_fields(name)
    for number = 1, math.max(1, math.ceil(#text / PIECE)) do
        values[#values + 1] = fields[number]
        values[#values + 1] = string.sub(text, (number - 1) * PIECE + 1, number * PIECE)
    end
end

-- Returns the text, or false when there is none.
local function get_text(case, name)
    local first = redis.call('HGET', case, name)
    if not first or #first ~= PIECE then return first end
    local pieces = redis.call('HMGET', case, unpack(text_fields(name)))
    local count = 0
    while pieces[count + 1] do count = count + 1 end
    return table.concat(pieces, '', 1, count)
end

-- Returns how many fields there were.
local function delete_text(case, name) return redis.call('HDEL', case, unpack(text_fields(name))) end
