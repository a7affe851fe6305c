-- Claims tasks. ARGV: time, owner, lease, most tasks, and for each queue its limit. Returns the time until something becomes ready by
-- itself (-1: nothing will), how many tasks had lost their message, and for each claimed task its state and its body's value.
local owner, lease, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local PROMOTE, CHUNK, BYTES = 128, 100, 4194304
local TILL = int(NOW + lease)
local out, wait, lost, bytes = { -1, 0 }, -1, 0, 0

local function promote(q)
  local due = call('ZRANGEBYSCORE', delayed(q), '-inf', NOWS, 'LIMIT', 0, PROMOTE)
  if #due > 0 then
    local back = {}
    for _, m in ipairs(due) do
      back[#back + 1], back[#back + 2] = int(rankOf(m)), idOf(m)
    end
    call('ZADD', ready(q), unpack(back))
    call('ZREM', delayed(q), unpack(due))
  end
  local over = call('ZRANGEBYSCORE', leased(q), '-inf', NOWS, 'LIMIT', 0, PROMOTE)
  if #over > 0 then
    local back, seen = {}, {}
    for i, s in ipairs(call('HMGET', TASKS, unpack(over))) do
      if s then
        back[#back + 1], back[#back + 2] = int(open(s).rank), over[i]
        seen[#seen + 1], seen[#seen + 2] = NOWS, over[i]
      end
    end
    if #back > 0 then
      call('ZADD', ready(q), unpack(back))
      call('ZADD', late(q), unpack(seen))
    end
    call('ZREM', leased(q), unpack(over))
  end
end

-- take claims up to n tasks of a queue and says how many.
local function take(q, n)
  local popped = call('ZPOPMIN', ready(q), n)
  if #popped == 0 then return 0 end
  local ids = {}
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
  if call('EXISTS', late(q)) == 1 then call('ZREM', late(q), unpack(ids)) end
  local touched, values = call('HMGET', TASKS, unpack(ids)), call('HMGET', BODIES, unpack(ids))
  local states, leases, taken = {}, {}, {}
  for i, id in ipairs(ids) do
    local value, s = values[i], touched[i]
    if not value then
      lost = lost + 1
      call('ZREM', RECENT, id)
    else
      local epoch, redeliveries, flags, rank, due, created, own, replays, length, tail, p, _ = 0, 0, 0, 0, 0, 0, 0, 0, 0
      if s then
        epoch, _, redeliveries, flags, rank, due, created, own, replays, length, p = unpk(HEAD, s)
        if length > 0 then redeliveries = redeliveries + 1 end
        tail = sub(s, p + length)
      else
        epoch, created, rank, due, _, own, flags, _, _, length, p = unpk(BODY, value)
        tail = sub(value, p, p + length - 1)
      end
      local till = NOW + (own > 0 and own or lease)
      s = pack(HEAD, rise(epoch), NOW, redeliveries, flags, rank, due, created, own, replays, #owner) .. owner .. tail
      local at = #states
      states[at + 1], states[at + 2] = id, s
      leases[at + 1], leases[at + 2] = own > 0 and int(till) or TILL, id
      taken[#taken + 1] = id
      if flags >= UNIQUE then
        local key, hold = uniqueOf(tail)
        reserve(id, key, hold, max(due, till))
      end
      at = #out
      out[at + 1], out[at + 2], out[at + 3] = s, value, till
      bytes = bytes + #value
    end
  end
  if #taken > 0 then
    call('HSET', TASKS, unpack(states))
    call('ZADD', leased(q), unpack(leases))
    tell(taken)
  end
  return #ids
end

local got = 0
local function visit(q)
  promote(q)
  local left = most - got
  local limit = tonumber(ARGV[4 + q])
  if limit > 0 then left = math.min(left, limit) end
  while left > 0 and bytes < BYTES do
    local n = take(q, math.min(left, CHUNK))
    if n == 0 then break end
    got, left = got + n, left - n
  end
  if call('EXISTS', ready(q)) == 1 then ring(q) end -- for the next who waits
  if got == 0 then
    local first = call('ZRANGE', delayed(q), 0, 0, 'WITHSCORES')[2]
    local lease = call('ZRANGE', leased(q), 0, 0, 'WITHSCORES')[2]
    for _, at in ipairs({ first or '', lease or '' }) do
      if at ~= '' and (wait < 0 or at - NOW < wait) then wait = max(at - NOW, 0) end
    end
  end
end
for q = 1, #ARGV - 4 do
  -- Most of the queues that an idle daemon asks for hold nothing, and this is all that they cost.
  if call('EXISTS', ready(q), delayed(q), leased(q)) > 0 then visit(q) end
end
done()
out[1], out[2] = wait, lost
return out
