-- A task's state: numbers, owner, tail; see state.go. The tail is queue, unique key, its length, and what daemons keep.
local HEAD = '<ddHBddddHH'
local ACKED, CHOSEN, UNIQUE = 1, 2, 4
-- A rank is a lane, the priority turned round, and the number of arrival in it.
local LANE = 2 ^ 49

-- A hidden task's member is its arrival and lane before its id: tasks due at one time are in the order of arrival.
local function hidden(rank, id) return string.format('%016d%d', rank % LANE, math.floor(rank / LANE)) .. id end
local function rankOf(member) return sub(member, 17, 17) * LANE + sub(member, 1, 16) end
local function idOf(member) return sub(member, 18) end

local function has(flags, f) return flags % (2 * f) >= f end

local function open(s)
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

local function stateOf(id)
  local s = call('HGET', TASKS, id)
  if s then return open(s) end
  local v = call('HGET', BODIES, id)
  return v and arrived(v)
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

-- Who watches these tasks is told that something changed.
local watchers
local function tell(ids)
  watchers = watchers or call('ZCARD', WATCHED)
  if watchers == 0 or #ids == 0 then return end
  local scores = call('ZMSCORE', WATCHED, unpack(ids))
  for i, id in ipairs(ids) do
    if scores[i] then call(SAY, WATCHED .. ':' .. id, '') end
  end
end
