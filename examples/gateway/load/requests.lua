-- What wrk sends: reads or writes of values, over a set of keys in turn, each request made ahead.
-- Arguments: GET or PUT, the bytes of a value, the number of keys. The token is in the environment.
local requests, at = {}, 0

function init(arguments)
    local method, bytes, keys = arguments[1], tonumber(arguments[2]), tonumber(arguments[3])
    local headers, body = { ["Authorization"] = "Bearer " .. os.getenv("KV_LOAD_TOKEN") }, nil
    if method == "PUT" then
        headers["Content-Type"] = "application/octet-stream"
        body = string.rep("v", bytes)
    end
    for key = 1, keys do
        requests[key] = wrk.format(method, wrk.path .. string.format("user%%2F%06d", key), headers, body)
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

-- Requests, seconds, the latency in ms that 99 % of them kept, bytes of an answer, and how many failed.
function done(summary, latency)
    local failed = 0
    for _, count in pairs(summary.errors) do
        failed = failed + count
    end
    io.write(string.format("figures %d %.3f %.3f %.0f %d\n", summary.requests, summary.duration / 1e6,
        latency:percentile(99) / 1000, summary.bytes / math.max(summary.requests, 1), failed))
end
