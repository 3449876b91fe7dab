-- KEYS: the key. ARGV: scope, version, and how it ends: PX and a ttl, PXAT and the last millisecond in which it is
-- there (as in expire_at.lua), or nothing for never. 1 when it has the version.
local old = redis.pcall('GET', KEYS[1])
if type(old) ~= 'string' or redis.sha1hex(ARGV[1] .. old) ~= ARGV[2] then return 0 end
if ARGV[3] == 'PX' then return redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
if ARGV[3] == 'PXAT' then
    local last, now = tonumber(ARGV[4]), redis.call('TIME')
    if last == now[1] * 1000 + math.floor(now[2] / 1000) then last = last + 1 end
    return redis.call('PEXPIREAT', KEYS[1], last)
end
redis.call('PERSIST', KEYS[1])
return 1
