-- KEYS: the key. ARGV: how it ends, PX and a ttl or PXAT and a time; nothing where it is to be deleted. The value with
-- its expiry: the new one, or that of what was deleted. What a newer version of this library has put into an envelope
-- is left as it is: the caller cannot read it.
local value = redis.call('GET', KEYS[1])
if not value then return {false, false} end
local expiry = redis.call('PEXPIRETIME', KEYS[1])
local envelope = value:match('^{"%$kv%-envelope":(%d+)')
if envelope and tonumber(envelope) > 1 then return {value, expiry} end
if ARGV[1] then
    redis.call(ARGV[1] == 'PX' and 'PEXPIRE' or 'PEXPIREAT', KEYS[1], ARGV[2])
    expiry = redis.call('PEXPIRETIME', KEYS[1])
else
    redis.call('UNLINK', KEYS[1])
end
return {value, expiry}
