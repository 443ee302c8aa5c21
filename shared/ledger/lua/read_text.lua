-- Read a text of a case.
-- KEYS: 1 the case (hash)
-- ARGV: 1 the text's name
-- Returns: the text as it is stored, or nil when there is none.
return get_text(KEYS[1], ARGV[1])
