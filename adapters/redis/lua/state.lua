-- A task's state: numbers, owner, tail; see state.go. The tail is queue, unique key, its length, and what daemons keep.
local HEAD = '<ddHBddddHH'
local ACKED, CHOSEN, UNIQUE, LEASED = 1, 2, 4, 8

-- A hidden task's member is its arrival and lane before its id: tasks due at one time are in the order of arrival.
local function hidden(rank, id) return string.format('%016d%d', rank % LANE, math.floor(rank / LANE)) .. id end
local function rankOf(member) return sub(member, 17, 17) * LANE + sub(member, 1, 16) end
local function idOf(member) return sub(member, 18) end

local function has(flags, f) return flags % (2 * f) >= f end

local function unseal(s)
  local t, n, p = {}, nil, nil
  t.epoch, t.updated, t.redeliveries, t.flags, t.rank, t.due, t.created, t.lease, t.replays, n, p = unpk(HEAD, s)
  t.owner, t.tail = sub(s, p, p + n - 1), sub(s, p + n)
  return t
end

local function seal(t)
  return pack(HEAD, t.epoch, t.updated, t.redeliveries, t.flags, t.rank, t.due, t.created, t.lease, t.replays, #t.owner) .. t.owner .. t.tail
end

local function queueOf(tail) return (unpk('<Hc0', tail)) end
local function uniqueOf(tail)
  local _, key, length = unpk('<Hc0Hc0d', tail)
  return key, length
end
-- retail gives a tail another queue, or what daemons keep another value; nil keeps it.
local function retail(tail, queue, extra)
  local q, key, length, p = unpk('<Hc0Hc0d', tail)
  q = queue or q
  return pack('<Hc0Hc0d', #q, q, #key, key, length) .. (extra or sub(tail, p))
end

-- A body's value is three numbers of the task's arrival, which are all that a script adds to what Go wrote, and that: numbers, tail,
-- message. A task that was never claimed has no other state.
local BODY, GIVEN = '<ddddddBBHH', '<dddBBHH'

local function arrived(value)
  local t, n, p, _ = {}, nil, nil, nil
  t.epoch, t.updated, t.rank, t.due, _, t.lease, t.flags, _, _, n, p = unpk(BODY, value)
  t.created, t.redeliveries, t.replays, t.owner, t.tail = t.updated, 0, 0, '', sub(value, p, p + n - 1)
  return t
end
local function message(value)
  local _, _, _, _, _, _, _, _, _, n, p = unpk(BODY, value)
  return sub(value, p + n)
end
-- headOf is the message without its body, which may be large.
local function headOf(value)
  local _, _, _, _, _, _, _, _, _, n, p = unpk(BODY, value)
  return sub(value, p + n, p + n + 3 + unpk('<I', value, p + n))
end

-- The state of a task that was claimed once, and to which nothing else has happened, is short: see short.lua. All else is as it arrived.
local function lengthen(s, value)
  local t, _ = arrived(value), nil
  t.epoch, t.updated, _, t.owner = unpk(SHORT, s)
  return t
end

-- open reads the state s of a task, which may be short; nil: its message is lost.
local function open(id, s)
  if not isShort(s) then return unseal(s) end
  local value = call('HGET', BODIES, id)
  return value and #value >= 24 and lengthen(s, value) or nil -- see isPage
end

-- Unique keys.
local function holder(key)
  local id = call('HGET', HOLDERS, key)
  if id and tonumber(call('ZSCORE', KEPT, key) or 0) > NOW then return id end
end
local function reserve(id, key, length, busy)
  local by = holder(key)
  if by and by ~= id then return end
  local till = max(busy, NOW) + length
  if by and tonumber(call('ZSCORE', KEPT, key)) > till then return end
  call('HSET', HOLDERS, key, id)
  call('ZADD', KEPT, int(till), key)
end
local function unreserve(id, key)
  if call('HGET', HOLDERS, key) == id then
    call('HDEL', HOLDERS, key)
    call('ZREM', KEPT, key)
  end
end
