-- Claims tasks. ARGV: time, owner, lease, most tasks, and for each queue its limit. Returns the time until something becomes ready by
-- itself (-1: nothing will), how many tasks had lost their message, the time, and the epoch and the end of the lease of the tasks that have a short
-- state. Then for each claimed task its body's value if its state is short; else end of lease, epoch, state, value.
local owner, lease, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local PROMOTE, CHUNK, BYTES = 128, 100, 4194304
local TILL = NOW + lease
local TILLS = int(TILL)
local out, wait, lost, bytes = { -1, 0, NOW, 0, TILL }, -1, 0, 0
local FLAGS = 49 -- where in a body's value they are

-- The states of tasks that are claimed for the first time, and have no lease of their own and no unique key.
local EPOCH, plain
local function begin()
  EPOCH = rise(0)
  plain = { [0] = shorten(EPOCH, NOW, GENERATEDID, owner), [CHOSEN] = shorten(EPOCH, NOW, CHOSENID, owner) }
  out[4] = EPOCH
end

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
        local t = open(over[i], s)
        if t then
          back[#back + 1], back[#back + 2] = int(t.rank), over[i]
          seen[#seen + 1], seen[#seen + 2] = NOWS, over[i]
        end
      end
    end
    if #back > 0 then
      call('ZADD', ready(q), unpack(back))
      call('ZADD', late(q), unpack(seen))
    end
    call('ZREM', leased(q), unpack(over))
  end
end

-- claim gives the state of a task that has a past or wishes of its own, and when its lease ends.
local function claim(id, s, value)
  local t = s and (isShort(s) and lengthen(s, value) or unseal(s)) or arrived(value)
  if t.owner ~= '' then t.redeliveries = t.redeliveries + 1 end
  t.epoch, t.updated, t.owner = t.epoch < EPOCH and EPOCH or rise(t.epoch), NOW, owner
  local till = t.lease > 0 and NOW + t.lease or TILL
  if has(t.flags, UNIQUE) then
    local key, hold = uniqueOf(t.tail)
    reserve(id, key, hold, max(t.due, till))
  end
  return t, till
end

-- take claims up to n tasks of a queue and says how many it found.
local function take(q, n)
  local popped = call('ZPOPMIN', ready(q), n)
  if #popped == 0 then return 0 end
  if not EPOCH then begin() end
  local ids = {}
  for i = 1, #popped, 2 do ids[(i + 1) / 2] = popped[i] end
  if call('EXISTS', late(q)) == 1 then call('ZREM', late(q), unpack(ids)) end
  local touched, values = call('HMGET', TASKS, unpack(ids)), call('HMGET', BODIES, unpack(ids))
  local states, leases, taken = {}, {}, {}
  for i, id in ipairs(ids) do
    local value, s = values[i], touched[i]
    if not value then
      lost = lost + 1
      call('ZREM', RECENT, id)
    else
      local short, at, till = not s and plain[string.byte(value, FLAGS)], #out, TILLS
      if short then
        s, out[at + 1] = short, value
      else
        local t, ends = claim(id, s, value)
        s, till = seal(t), int(ends)
        out[at + 1], out[at + 2], out[at + 3], out[at + 4] = ends, t.epoch, s, value
      end
      at = 2 * #taken
      states[at + 1], states[at + 2], leases[at + 1], leases[at + 2] = id, s, till, id
      taken[#taken + 1] = id
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
