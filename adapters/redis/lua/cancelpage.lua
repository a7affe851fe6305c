-- Cancels tasks of a queue that wait in their pages. ARGV: time, how long chosen ids are remembered, and for each page: numbers, the ids of those
-- that wait, and their statuses if they leave any. Returns how many it cancelled: none of a page in which other ones wait meanwhile.
local remember, cancelled = tonumber(ARGV[2]), 0

local function cancel(name, from, last, with, till, first)
  local p, n = marked(name), last - from + 1
  if not p.marks or has(p.flags, SAVED) then return end
  local member = partOf(name, last)
  if tonumber(call('ZSCORE', ready(1), member) or 0) ~= p.base + from then return end
  call('ZREM', ready(1), member)
  surplus(ready(1), 1 - n)
  mark(p, from, last, GONE)
  local ids, results, seen = {}, {}, {}
  local head = with and pack('<dddB', rise(0), NOW, till, 1)
  for k = 1, n do
    local id = ARGV[first + k - 1]
    ids[k] = id
    if with then results[2 * k - 1], results[2 * k] = id, head .. ARGV[first + n + k - 1] end
    seen[2 * k - 1], seen[2 * k] = int(NOW + remember), id
  end
  call('HDEL', BODIES, unpack(ids))
  if with then
    call('HSET', RESULTS, unpack(results))
    ended(till, ids)
  end
  if has(p.flags, CHOSEN) and remember > 0 then call('ZADD', SEEN, unpack(seen)) end
  tell(ids)
  cancelled = cancelled + n
end

local i = 3
while i <= #ARGV do
  local ttl, name, from, last, with = unpk('<ddBBB', ARGV[i])
  local n = last - from + 1
  cancel(int(name), from, last, with == 1, NOW + ttl, i + 1)
  i = i + 1 + n + (with == 1 and n or 0)
end
turn()
done()
writeBatches()
return cancelled
