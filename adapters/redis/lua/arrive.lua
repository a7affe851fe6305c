-- A message in ARGV is two values: id, and what Go wrote: due time, lowest epoch, lease, flags, lane, queue's number, and see BODY.
local function enqueue(q, id, rank, due)
  if due > NOW then
    call('ZADD', delayed(q), int(due), hidden(rank, id))
  else
    call('ZADD', ready(q), int(rank), id)
  end
end

-- forget drops what was saved of a past life of an id and gives its epoch.
local function forget(id)
  local r = call('HGET', RESULTS, id)
  if not r then return 0 end
  call('HDEL', RESULTS, id)
  return (unpk('<d', r))
end

local sort -- see inbox.lua

-- insert writes a message behind what is in its queue; past is the state of its past life, or nil.
local function insert(id, given, epoch, past)
  local due, _, lease, flags, lane, q, n, p = unpk(GIVEN, given)
  sort(q)
  local rank, tail = lane * LANE + arrival(), sub(given, p, p + n - 1)
  call('HSET', BODIES, id, pack('<ddd', epoch, NOW, rank) .. given)
  if past then
    call('HSET', TASKS, id, seal({ epoch = epoch, updated = NOW, redeliveries = 0, flags = flags, rank = rank, due = due,
      created = past.created, lease = lease, replays = past.replays, owner = '', tail = tail }))
  end
  call('ZADD', RECENT, NOWS, id)
  call('SADD', QUEUES, queueOf(tail))
  enqueue(q, id, rank, due)
  if has(flags, UNIQUE) then
    local key, length = uniqueOf(tail)
    reserve(id, key, length, due)
  end
  ring(q)
  tell({ id })
end

-- live says whether there is a task of this id. What is left of one whose page is lost is none.
local function live(id)
  local n = call('HSTRLEN', BODIES, id)
  if n == 0 then return false end
  if n >= 24 or paged(id, call('HGET', BODIES, id)) then return true end
  call('HDEL', BODIES, id)
  return false
end

-- publish accepts a message unless its id is live or remembered or its key is taken; it returns the id that stands for it.
local function publish(id, given)
  local _, floor, _, flags, _, q, n, p = unpk(GIVEN, given)
  sort(q)
  if live(id) or tonumber(call('ZSCORE', SEEN, id) or 0) > NOW then return id end
  if has(flags, UNIQUE) then
    local by = holder((uniqueOf(sub(given, p, p + n - 1))))
    if by and by ~= id then return by end
  end
  call('ZREM', SEEN, id)
  insert(id, given, rise(max(floor, forget(id))))
end
