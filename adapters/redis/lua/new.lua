-- What enqueue.lua does while nothing is known of any of its ids, as is nearly always so, as cheaply as can be; ARGV are those of the
-- script. A task has no epoch until it is claimed.
local n = tonumber(ARGV[2])
local function unsorted()
  for run = 3 + 2 * n, #ARGV, 2 do
    if call('EXISTS', inbox((unpk('<H', ARGV[run])))) == 1 then return true end
  end
end
if not known(3, 2 + n) and not unsorted() then
  local seq, i, bodies, recent = call('HINCRBY', META, 'seq', n) - n, 0, {}, {}
  for run = 3 + 2 * n, #ARGV, 2 do
    local q, lane, count = unpk('<HBH', ARGV[run])
    local places, top = {}, lane * LANE + seq
    for k = 1, 2 * count, 2 do
      i = i + 1
      local id, rank, at = ARGV[2 + i], top + i, 2 * i
      bodies[at - 1], bodies[at] = id, pack('<ddd', 0, NOW, rank) .. ARGV[2 + n + i]
      recent[at - 1], recent[at] = NOWS, id
      places[k], places[k + 1] = int(rank), id
    end
    -- Where something is ready the bell has been rung, and will be by who leaves anything.
    if call('ZADD', ready(q), unpack(places)) == call('ZCARD', ready(q)) then
      call('SADD', QUEUES, ARGV[run + 1])
      ring(q)
    end
  end
  call('HSET', BODIES, unpack(bodies))
  call('ZADD', RECENT, unpack(recent))
  if some then tell({ unpack(ARGV, 3, 2 + n) }) end
  return {}
end
