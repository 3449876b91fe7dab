-- KEYS: the key. ARGV: scope, version. 1 when it was deleted.
local old = redis.pcall('GET', KEYS[1])
if type(old) ~= 'string' or redis.sha1hex(ARGV[1] .. old) ~= ARGV[2] then return 0 end
return redis.call('UNLINK', KEYS[1])
