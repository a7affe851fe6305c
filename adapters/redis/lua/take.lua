-- Takes tokens of one key of the limiter: KEYS[1], which lies where the hash of its own name says, so keys are spread. ARGV: time, empty
-- for the server's, and for each token the microseconds between two and how many a full bucket has. Returns for each 0, or when to
-- ask again. The rules are those of adapters.Bucket.
local SECOND, SPREAD, KEPT = 1000000, 3600000000, 60000
local min, max, ceil = math.min, math.max, math.ceil
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = t[1] * SECOND + t[2]
end
local full, last = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) (%d+)$')
full, last = tonumber(full), tonumber(last)
local out, forget = {}, 0
for i = 2, #ARGV, 2 do
  local every = tonumber(ARGV[i])
  local whole, rest, left = every * ARGV[i + 1], max(every, SECOND), now
  if full <= now - rest then
    last = 0
  else
    left = min(max(full, now - min(math.floor(every / 10), SECOND)), now + whole)
  end
  local first = left + every - whole
  if first > now then
    local again = max(last + every, first)
    if again > first + SPREAD then again = first end
    full, last = left, again
    out[#out + 1] = again
  else
    full = left + every
    out[#out + 1] = 0
  end
  forget = max(full + rest, last)
end
redis.call('SET', KEYS[1], string.format('%.0f %.0f', full, last), 'PX', string.format('%.0f', max(ceil((forget - now) / 1000), KEPT)))
return out
