-- Every script begins with the keys that it uses, as keys.go names them, and with this. ARGV[1] is the time in microseconds, or empty:
-- the server's.
local call, sub, pack, unpk, max = redis.call, string.sub, struct.pack, struct.unpack, math.max
local NOWS, NOW = ARGV[1], tonumber(ARGV[1])
if not NOW then
  local t = call('TIME')
  NOWS, NOW = t[1] .. sub('00000' .. t[2], -6), t[1] * 1000000 + t[2]
end

-- int writes a number for a command: much faster than what call does by itself.
local function int(n) return string.format('%d', n) end

-- A rank is a lane, the priority turned round, and the number of arrival in it.
local LANE = 2 ^ 49
