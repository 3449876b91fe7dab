-- Each value with its expiry, as one moment shows them. A key of another type is an error where it is the only one.
local found = {}
for at, key in ipairs(KEYS) do
    local value
    if #KEYS == 1 then
        value = redis.call('GET', key)
    else
        value = redis.pcall('GET', key)
        if type(value) == 'table' then value = false end
    end
    found[2 * at - 1] = value
    found[2 * at] = value and redis.call('PEXPIRETIME', key) or false
end
return found
