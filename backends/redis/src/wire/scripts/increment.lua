-- KEYS: the counter. ARGV: the step, the least and the greatest result, and 1 where an entry with an expiry may be
-- counted in; then, where a new counter ends, how: PX and a ttl or PXAT and a time. The new value as text, since a
-- number of a script is a double; nil when it would be out of range; 0 for an entry with an expiry where it may have
-- none.
local function less(a, b)
    local a_negative, b_negative = a:sub(1, 1) == '-', b:sub(1, 1) == '-'
    if a_negative ~= b_negative then return a_negative end
    if a_negative then a, b = b:sub(2), a:sub(2) end
    if #a ~= #b then return #a < #b end
    return a < b
end
local old = redis.call('GET', KEYS[1])
if ARGV[4] ~= '1' and redis.call('PTTL', KEYS[1]) >= 0 then return 0 end
redis.call('INCRBY', KEYS[1], ARGV[1])
local new = redis.call('GET', KEYS[1])
if not less(new, ARGV[2]) and not less(ARGV[3], new) then
    if not old and ARGV[5] then redis.call(ARGV[5] == 'PX' and 'PEXPIRE' or 'PEXPIREAT', KEYS[1], ARGV[6]) end
    return new
end
if old then
    redis.call('SET', KEYS[1], old, 'KEEPTTL')
else
    redis.call('UNLINK', KEYS[1])
end
return false
