-- Publishes messages. ARGV: time, then two values a message. Returns, for each, an empty string: accepted, or whose id stands for it.
local n = (#ARGV - 1) / 2
local ids, out = {}, {}
for i = 1, n do ids[i] = ARGV[2 * i] end
local known = call('ZMSCORE', RECENT, unpack(ids))
local remembered = call('EXISTS', SEEN) == 1 and call('ZMSCORE', SEEN, unpack(ids)) or {}

-- Those of whom nothing is known go together, the others one by one, in the order given.
local mine = {}
local bodies, recent, fresh, lanes, names, rung = {}, {}, {}, {}, {}, {}
local function flush()
  if #bodies == 0 then return end
  call('HSET', BODIES, unpack(bodies))
  call('ZADD', RECENT, unpack(recent))
  for key, members in pairs(lanes) do call('ZADD', key, unpack(members)) end
  call('SADD', QUEUES, unpack(names))
  for q in pairs(rung) do ring(q) end
  tell(fresh)
  bodies, recent, fresh, lanes, names, rung = {}, {}, {}, {}, {}, {}
end
for i = 1, n do
  local id, given = ids[i], ARGV[2 * i + 1]
  local due, floor, _, flags, lane, q, length, p = unpk(GIVEN, given)
  if known[i] or remembered[i] or mine[id] or flags >= UNIQUE then
    flush()
    out[i] = publish(id, given) or ''
  else
    local rank, at = lane * LANE + arrival(), #bodies
    bodies[at + 1], bodies[at + 2] = id, pack('<ddd', rise(floor), NOW, rank) .. given
    recent[at + 1], recent[at + 2] = NOWS, id
    fresh[#fresh + 1] = id
    local key, score, member = ready(q), rank, id
    if due > NOW then key, score, member = delayed(q), due, hidden(rank, id) end
    local members = lanes[key]
    if not members then
      members = {}
      lanes[key] = members
    end
    members[#members + 1], members[#members + 2] = int(score), member
    if not rung[q] then
      rung[q] = true
      names[#names + 1] = queueOf(sub(given, p, p + length - 1))
    end
    out[i] = ''
  end
  mine[id] = true
end
flush()
done()
return out
