-- Ends claims of tasks that leave nothing but perhaps a first result, many as cheaply as can be. ARGV: time, how long chosen ids are
-- remembered, and for each claim: numbers, owner, the ids of its tasks, all different, and their statuses if they leave any. Returns the
-- numbers, from 1 on over all claims, of those that it did not do, because their claim is lost or they need more.
local remember, out, before = tonumber(ARGV[2]), {}, 0

local function finish(q, with, terminal, till, epoch, first, n, short, shortChosen)
  local states = call('HMGET', TASKS, unpack(ARGV, first, first + n - 1))
  local saved = call('HMGET', RESULTS, unpack(ARGV, first, first + n - 1))
  local ids, results, recent, seen = {}, {}, {}, {}
  local head = with and pack('<dddB', epoch, NOW, till, terminal)
  for k = 1, n do
    local s, id = states[k], ARGV[first + k - 1]
    if saved[k] or s ~= short and s ~= shortChosen then
      out[#out + 1] = before + k
    else
      local at = #ids
      ids[at + 1] = id
      if with then
        results[2 * at + 1], results[2 * at + 2] = id, head .. ARGV[first + n + k - 1]
        recent[2 * at + 1], recent[2 * at + 2] = NOWS, id
      end
      if s == shortChosen and remember > 0 then seen[#seen + 1], seen[#seen + 2] = int(NOW + remember), id end
    end
  end
  if #ids == 0 then return end
  call('HDEL', TASKS, unpack(ids))
  call('HDEL', BODIES, unpack(ids))
  if call('ZREM', leased(q), unpack(ids)) < #ids then
    call('ZREM', ready(q), unpack(ids))
    call('ZREM', late(q), unpack(ids))
  end
  if with then
    call('HSET', RESULTS, unpack(results))
    call('ZADD', RECENT, unpack(recent))
    lapse(till, ids)
  else
    call('ZREM', RECENT, unpack(ids))
  end
  if #seen > 0 then call('ZADD', SEEN, unpack(seen)) end
  tell(ids)
end

local i = 3
while i <= #ARGV do
  local epoch, updated, ttl, with, terminal, q, n = unpk('<dddBBHH', ARGV[i])
  local owner = ARGV[i + 1]
  finish(q, with == 1, terminal, NOW + ttl, epoch, i + 2, n, shorten(epoch, updated, GENERATEDID, owner),
    shorten(epoch, updated, CHOSENID, owner))
  before, i = before + n, i + 2 + n + (with == 1 and n or 0)
end
return out
