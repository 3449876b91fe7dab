-- KEYS: the key. ARGV: the digest of a value that the caller can read, or nothing; what changes the key (PEXPIRE,
-- PEXPIREAT, PERSIST or UNLINK); and the ttl or time. The value, its expiry (the new one, or that of what was deleted),
-- and 1; or 0 in its place where nothing was changed. That is so for what a newer version of this library may have put
-- into an envelope, unless it is the value that the caller has read already.
local function may_be_newer(value)
    if not value:find('^%s*{') then return false end
    local _, known = value:find('^{"%$kv%-envelope":1,')
    return value:find('$kv-envelope', (known or 0) + 1, true) or value:find('\\u', 1, true)
end
local value = redis.call('GET', KEYS[1])
if not value then return {false, false, 1} end
local expiry = redis.call('PEXPIRETIME', KEYS[1])
if may_be_newer(value) and redis.sha1hex(value) ~= ARGV[1] then return {value, expiry, 0} end
redis.call(ARGV[2], KEYS[1], unpack(ARGV, 3))
if ARGV[2] ~= 'UNLINK' then expiry = redis.call('PEXPIRETIME', KEYS[1]) end
-- A time that is past has ended it.
if expiry == -2 then return {false, false, 1} end
return {value, expiry, 1}
