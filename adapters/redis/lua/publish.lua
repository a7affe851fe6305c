-- Publishes messages. ARGV: time, then three values a message. Returns, for each, an empty string: accepted, or whose id stands for it.
local n = (#ARGV - 1) / 3
local ids, out = {}, {}
for i = 1, n do ids[i] = ARGV[3 * i] end
local known, remembered = call('ZMSCORE', RECENT, unpack(ids)), call('ZMSCORE', SEEN, unpack(ids))

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
  local head, id, rest = ARGV[3 * i - 1], ids[i], ARGV[3 * i + 1]
  local lane, due, floor, lease, _, flags, q, p = unpk('<dddddBH', head)
  if known[i] or remembered[i] or mine[id] or has(flags, UNIQUE) then
    flush()
    out[i] = publish(head, id, rest) or ''
  else
    local rank, tail = lane + arrival(), sub(head, p)
    local s = pack(HEAD, rise(floor), NOW, 0, flags, rank, due, NOW, lease, 0, 0) .. tail
    local at = #bodies
    bodies[at + 1], bodies[at + 2] = id, pack('<H', #s) .. s .. rest
    recent[at + 1], recent[at + 2] = NOWS, id
    fresh[#fresh + 1] = id
    local key, score, member = ready(q), rank, id
    if due > NOW then key, score, member = delayed(q), due, hidden(rank, id) end
    local members = lanes[key]
    if not members then
      members = {}
      lanes[key] = members
    end
    members[#members + 1], members[#members + 2] = score, member
    if not rung[q] then
      rung[q] = true
      names[#names + 1] = queueOf(tail)
    end
    out[i] = ''
  end
  mine[id] = true
end
flush()
done()
return out
