-- All or nothing. ARGV: the scope, then for each key: the condition, the version it names, the value, and what stands
-- behind the value in a SET: how the expiry is given, and the expiry; empty where there is none. 0, or the position of
-- the first condition that does not hold.
for at, key in ipairs(KEYS) do
    local condition, is_met = ARGV[5 * at - 3], true
    if condition == 'NX' then
        is_met = redis.call('EXISTS', key) == 0
    elseif condition == 'XX' then
        is_met = redis.call('EXISTS', key) == 1
    elseif condition == 'VERSION' then
        local old = redis.pcall('GET', key)
        is_met = type(old) == 'string' and redis.sha1hex(ARGV[1] .. old) == ARGV[5 * at - 2]
    end
    if not is_met then return at end
end
for at, key in ipairs(KEYS) do
    local value, form, expiry = ARGV[5 * at - 1], ARGV[5 * at], ARGV[5 * at + 1]
    if form == '' then
        redis.call('SET', key, value)
    else
        redis.call('SET', key, value, form, expiry)
    end
end
return 0
