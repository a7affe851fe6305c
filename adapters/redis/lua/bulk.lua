-- Publishes pages. ARGV: time, and for each page: numbers, the queue's name, what Go wrote of it, and the ids of its messages, all different.
-- Returns the numbers, from 1 on over all messages, of those that it did not publish, each with the id that stands for it.
local out = {}
counters()

-- place gives a page the numbers of its arrivals. Where there is a page of that name the counter was lost, and goes on far behind.
local function place(value, n)
  if call('HSETNX', PAGES, int(SEQ + 1), value) == 0 then
    SEQ = max(SEQ, math.floor(NOW / 8))
    call('HSET', PAGES, int(SEQ + 1), value)
  end
  local first = SEQ + 1
  SEQ, numbered = SEQ + n, true
  return first
end

local function bind(head, queue, value, first, last)
  local q, flags, lane, n = unpk('<HBBH', head)
  local arrival, bodies = place(value, n), {}
  local name = int(arrival)
  for i = first, last do
    local at = #bodies
    bodies[at + 1], bodies[at + 2] = ARGV[i], name
  end
  call('HSET', BODIES, unpack(bodies))
  call('HSET', MARKS, name, pack(PAGE, NOW, flags, lane, n) .. rep(READY, n))
  call('ZADD', RECENT, NOWS, partOf(name, 0))
  if n > 1 then call('HINCRBY', SURPLUS, ready(q), n - 1) end
  call('ZADD', ready(q), int(lane * LANE + arrival), partOf(name, n - 1))
  -- Where something was ready the bell has been rung, and will be by who leaves anything.
  if call('ZCARD', ready(q)) == 1 then
    call('SADD', QUEUES, queue)
    ring(q)
  end
  if some then tell({ unpack(ARGV, first, last) }) end
end

-- loose publishes the messages of a page each by itself, as something is known of one of them.
local function loose(value, n, first, before)
  local at = 4 * n + 1
  for i = 1, n do
    local id, till = ARGV[first + i - 1], 4 * n + unpk('<I', value, 4 * i - 3)
    local stands = publish(id, sub(value, at + 2 + #id + 4, till))
    if stands then out[#out + 1], out[#out + 2] = before + i, stands end
    at = till + 1
  end
end

local i, before = 2, 0
while i <= #ARGV do
  local _, _, _, n = unpk('<HBBH', ARGV[i])
  if known(i + 3, i + 2 + n) then
    loose(ARGV[i + 2], n, i + 3, before)
  else
    bind(ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3, i + 2 + n)
  end
  i, before = i + 3 + n, before + n
end
done()
return out
