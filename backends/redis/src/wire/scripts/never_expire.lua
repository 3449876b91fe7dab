-- KEYS: the key. 1 when it is there.
redis.call('PERSIST', KEYS[1])
return redis.call('EXISTS', KEYS[1])
