-- unbury takes a letter from the dead ones.
local function unbury(id)
  local d = call('HGET', DEAD, id)
  if not d then return end
  local serial, _, queue = unpk('<ddHc0', d)
  call('HDEL', DEAD, id)
  call('ZREM', DEATHS, string.format('%016.0f', serial) .. id)
  if call('HINCRBY', DEADCOUNT, queue, -1) <= 0 then call('HDEL', DEADCOUNT, queue) end
  return d
end

local function bury(id, t, why, rest)
  unbury(id)
  local serial, queue = call('HINCRBY', META, 'deaths', 1), queueOf(t.tail)
  t.owner, t.due = '', 0
  local s = seal(t)
  call('HSET', DEAD, id, pack('<ddHc0Ic0Hc0', serial, NOW, #queue, queue, #why, why, #s, s) .. rest)
  call('ZADD', DEATHS, NOWS, string.format('%016.0f', serial) .. id)
  call('HINCRBY', DEADCOUNT, queue, 1)
end

-- leave takes a task from its place in a queue.
local function leave(q, id, t)
  if call('ZREM', leased(q), id) == 1 then return end
  if call('ZREM', ready(q), id) == 1 then
    call('ZREM', late(q), id)
  else
    call('ZREM', delayed(q), hidden(t.rank, id))
  end
end

-- finish takes a task away for good.
local function finish(q, id, t, remember)
  leave(q, id, t)
  call('HDEL', TASKS, id)
  call('HDEL', BODIES, id)
  if has(t.flags, UNIQUE) then unreserve(id, (uniqueOf(t.tail))) end
  if has(t.flags, CHOSEN) and remember > 0 then call('ZADD', SEEN, int(NOW + remember), id) end
end
