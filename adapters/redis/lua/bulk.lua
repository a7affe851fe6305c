-- Publishes pages. ARGV: time, and for each page: numbers, the queue's name, what Go wrote of it, and the ids of its messages, all different.
-- Returns the numbers, from 1 on over all messages, of those that it did not publish, each with the id that stands for it.
local out = {}

-- whole publishes a page.
local function whole(head, queue, value, first, last)
  local q, flags, lane = unpk('<HBB', head)
  local ids = { unpack(ARGV, first, last) }
  bind(q, flags, lane, value, NOW, ids)
  -- Where something was ready the bell has been rung, and will be by who leaves anything.
  if call('ZCARD', ready(q)) == 1 then
    call('SADD', QUEUES, queue)
    ring(q)
  end
  if some then tell(ids) end
end

-- loose publishes the messages of a page each by itself, as something is known of one of them.
local function loose(value, n, before)
  local at = 1
  for i = 1, n do
    local _, id, size, begin = unpk('<dHc0I', value, at)
    at = begin + size
    local stands = publish(id, sub(value, begin, at - 1))
    if stands then out[#out + 1], out[#out + 2] = before + i, stands end
  end
end

local i, before = 2, 0
while i <= #ARGV do
  local q, _, _, n = unpk('<HBBH', ARGV[i])
  sort(q)
  if known(i + 3, i + 2 + n) then
    loose(ARGV[i + 2], n, before)
  else
    whole(ARGV[i], ARGV[i + 1], ARGV[i + 2], i + 3, i + 2 + n)
  end
  i, before = i + 3 + n, before + n
end
done()
return out
