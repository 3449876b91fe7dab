-- KEYS: the key. ARGV: the last millisecond in which it is there. The server ends at once what ends in the millisecond
-- that has begun, and so an entry of which that is the last one stays for one more. 1 when it is there.
local last, now = tonumber(ARGV[1]), redis.call('TIME')
if last == now[1] * 1000 + math.floor(now[2] / 1000) then last = last + 1 end
return redis.call('PEXPIREAT', KEYS[1], last)
