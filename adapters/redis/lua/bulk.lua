-- Publishes pages. ARGV: time, and for each page: numbers, the queue's name, what Go wrote of it, and the ids of its messages, all different.
-- Returns the numbers, from 1 on over all messages, of those that it did not publish, because something is known of one in their page.
local some, out, fresh = call('EXISTS', SEEN, WATCHED) > 0, {}, {}

local function known(first, last)
  for _, key in ipairs({ BODIES, RESULTS }) do
    for _, v in ipairs(call('HMGET', key, unpack(ARGV, first, last))) do
      if v then return true end
    end
  end
  for _, till in ipairs(some and call('ZMSCORE', SEEN, unpack(ARGV, first, last)) or {}) do
    if till then return true end
  end
end

local function publish(head, queue, value, first, last)
  local q, flags, lane, n = unpk('<HBBH', head)
  local arrival = call('HINCRBY', META, 'seq', n) - n + 1
  local name, bodies = int(arrival), {}
  for i = first, last do
    local at = #bodies
    bodies[at + 1], bodies[at + 2] = ARGV[i], name
  end
  call('HSET', BODIES, unpack(bodies))
  call('HSET', PAGES, name, value)
  call('HSET', MARKS, name, pack(PAGE, NOW, flags, lane, n) .. rep(READY, n))
  call('ZADD', RECENT, NOWS, partOf(name, 0))
  call('HINCRBY', SURPLUS, ready(q), n - 1)
  call('ZADD', ready(q), int(lane * LANE + arrival), partOf(name, n - 1))
  -- Where something was ready the bell has been rung, and will be by who leaves anything.
  if call('ZCARD', ready(q)) == 1 then
    call('SADD', QUEUES, queue)
    ring(q)
  end
  if some then tell({ unpack(ARGV, first, last) }) end
end

local i, before = 2, 0
while i <= #ARGV do
  local _, _, _, n = unpk('<HBBH', ARGV[i])
  if known(i + 3, i + 2 + n) then
    for k = 1, n do out[#out + 1] = before + k end
  else
    publish(ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3, i + 2 + n)
  end
  i, before = i + 3 + n, before + n
end
return out
