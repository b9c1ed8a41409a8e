-- Sends prepared requests in turn. Arguments: their file, where to begin (from 0), and how many to
-- send before stopping (0: until the time is over). The file holds "<length>\n<request>" again and
-- again. At the end it prints one line of JSON; latencies are microseconds.
local ffi = require("ffi")
ffi.cdef("int kill(int, int); int getpid(void);")
local requests, position, left = {}, 0, -1

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local length = file:read("*n")
  while length do
    file:read(1)
    requests[#requests + 1] = file:read(length)
    length = file:read("*n")
  end
  file:close()
  position = tonumber(args[2])
  local limit = tonumber(args[3])
  if limit > 0 then left = limit end
end

function request()
  if left == 0 then
    wrk.thread:stop()
    ffi.C.kill(ffi.C.getpid(), 2)  -- SIGINT ends the main thread's sleep
    return "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
  end
  left = left - 1
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"p50":%d,"p99":%d,"max":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
