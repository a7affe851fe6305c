-- Ends claims of tasks that are in pages and leave nothing but perhaps a result, many as cheaply as can be. ARGV: time, how long chosen ids
-- are remembered, and for each claim of a page: numbers, owner, the first and last of each run of its tasks, their ids, and their statuses
-- if they leave any. Returns the numbers, from 1 on over all claims, of those that it did not do, because their claim is lost or they need more.
local remember, out, before = tonumber(ARGV[2]), {}, 0

local function finish(q, with, terminal, till, epoch, owner, name, claim, runs, first, n)
  local p = marked(name)
  local c, m = p.claims[claim], char(claim)
  local held = c and c.epoch == epoch and c.owner == owner and not has(p.flags, SAVED)
  local head = with and pack('<dddB', epoch, NOW, till, terminal)
  local ids, results, at = {}, {}, 0
  local function leave(from, to)
    mark(p, from, to, GONE)
    for k = at + 1, at + to - from + 1 do
      ids[#ids + 1] = ARGV[first + k - 1]
      if with then results[2 * #ids - 1], results[2 * #ids] = ARGV[first + k - 1], head .. ARGV[first + n + k - 1] end
    end
  end
  for i = 1, #runs, 2 do
    local from, to = byte(runs, i, i + 1)
    if held and sub(p.marks, from + 1, to + 1) == rep(m, to - from + 1) then
      leave(from, to)
      at = at + to - from + 1
    else
      for k = from, to do
        if held and markOf(p, k) == claim then leave(k, k) else out[#out + 1] = before + at + 1 end
        at = at + 1
      end
    end
  end
  if #ids == 0 then return end
  without(q, p, claim, #ids)
  call('HDEL', BODIES, unpack(ids))
  if with then
    call('HSET', RESULTS, unpack(results))
    ended(till, ids)
  end
  if has(p.flags, CHOSEN) and remember > 0 then
    local seen = {}
    for _, id in ipairs(ids) do seen[#seen + 1], seen[#seen + 2] = int(NOW + remember), id end
    call('ZADD', SEEN, unpack(seen))
  end
  tell(ids)
end

local i = 3
while i <= #ARGV do
  local epoch, ttl, name, claim, with, terminal, q, n = unpk('<dddBBBHH', ARGV[i])
  finish(q, with == 1, terminal, NOW + ttl, epoch, ARGV[i + 1], int(name), claim, ARGV[i + 2], i + 3, n)
  before, i = before + n, i + 3 + n + (with == 1 and n or 0)
end
turn()
writeBatches()
return out
