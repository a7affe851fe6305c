-- A message in ARGV is three values: numbers and tail, id, and what follows the state in its body's value.
local function enqueue(q, id, rank, due)
  if due > NOW then
    call('ZADD', delayed(q), due, hidden(rank, id))
  else
    call('ZADD', ready(q), rank, id)
  end
end

-- forget drops what was saved of a past life of an id and gives its epoch.
local function forget(id)
  local r = call('HGET', RESULTS, id)
  if not r then return 0 end
  call('HDEL', RESULTS, id)
  call('ZREM', LAPSES, id)
  return (unpk('<d', r))
end

-- insert writes a message behind what is in its queue.
local function insert(head, id, rest, epoch, created, replays)
  local lane, due, _, lease, length, flags, q, p = unpk('<dddddBH', head)
  local s = { epoch = epoch, updated = NOW, redeliveries = 0, flags = flags, rank = lane + arrival(), due = due,
    created = created, lease = lease, replays = replays, owner = '', tail = sub(head, p) }
  local sealed = seal(s)
  call('HSET', BODIES, id, pack('<H', #sealed) .. sealed .. rest)
  call('ZADD', RECENT, NOWS, id)
  call('SADD', QUEUES, queueOf(s.tail))
  enqueue(q, id, s.rank, due)
  if has(flags, UNIQUE) then reserve(id, uniqueOf(s.tail), length, due) end
  ring(q)
  tell({ id })
end

-- publish accepts a message unless its id is live or remembered or its key is taken; it returns the id that stands for it.
local function publish(head, id, rest)
  if call('HEXISTS', BODIES, id) == 1 or tonumber(call('ZSCORE', SEEN, id) or 0) > NOW then return id end
  local _, _, floor, _, _, flags, _, p = unpk('<dddddBH', head)
  if has(flags, UNIQUE) then
    local by = holder((uniqueOf(sub(head, p))))
    if by and by ~= id then return by end
  end
  call('ZREM', SEEN, id)
  insert(head, id, rest, rise(max(floor, forget(id))), NOW, 0)
end
