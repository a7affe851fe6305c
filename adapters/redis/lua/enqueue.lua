-- Publishes messages that are ready at once and reserve no key, many as cheaply as can be. ARGV: time, how many, their ids, all different,
-- their values, and for each run of messages with one place in one queue: numbers and the queue's name. Returns the numbers of those
-- that it did not publish, because something is known of their id. A task has no epoch until it is claimed.
local n = tonumber(ARGV[2])
local ids, values = 2, 2 + n
local some, known = call('EXISTS', SEEN, WATCHED) > 0, {}
if some then
  for i, till in ipairs(call('ZMSCORE', SEEN, unpack(ARGV, ids + 1, values))) do known[i] = till end
end
for _, key in ipairs({ BODIES, RESULTS }) do
  for i, v in ipairs(call('HMGET', key, unpack(ARGV, ids + 1, values))) do known[i] = known[i] or v end
end

local last = call('HINCRBY', META, 'seq', n) - n
local out, i = {}, 0
local bodies, recent, fresh = {}, {}, {}
for run = values + n + 1, #ARGV, 2 do
  local q, lane, count = unpk('<HBH', ARGV[run])
  local places, top = {}, lane * LANE + last
  for _ = 1, count do
    i = i + 1
    local id = ARGV[ids + i]
    if known[i] then
      out[#out + 1] = i
    else
      local rank, at, place = top + i, #bodies, #places
      bodies[at + 1], bodies[at + 2] = id, pack('<ddd', 0, NOW, rank) .. ARGV[values + i]
      places[place + 1], places[place + 2] = int(rank), id
      recent[at + 1], recent[at + 2] = NOWS, id
      fresh[#fresh + 1] = id
    end
  end
  -- Where something is ready the bell has been rung, and will be by who leaves anything.
  if #places > 0 and call('ZADD', ready(q), unpack(places)) == call('ZCARD', ready(q)) then
    call('SADD', QUEUES, ARGV[run + 1])
    ring(q)
  end
end
if #fresh > 0 then
  call('HSET', BODIES, unpack(bodies))
  call('ZADD', RECENT, unpack(recent))
  if some then tell(fresh) end
end
return out
