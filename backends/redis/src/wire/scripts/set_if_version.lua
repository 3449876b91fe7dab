-- KEYS: the key. ARGV: scope, version, value, and the words of its expiry. 1 when it was set.
local old = redis.pcall('GET', KEYS[1])
if type(old) ~= 'string' or redis.sha1hex(ARGV[1] .. old) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], unpack(ARGV, 3))
return 1
