-- Claims tasks. ARGV: time, owner, lease, most tasks, and for each queue its limit. Returns the time until something becomes ready by
-- itself (-1: nothing will), how many tasks had lost their message, the time, and the epoch and the end of the lease of the tasks that have a short
-- state or are in a page. Then for each claimed task its body's value if its state is short; else end of lease, epoch, state, value. Tasks of
-- a page are one value: its name, the number of the first, how many, that of the claim, when they were published, how many the page has. It is to be read by
-- who claims them: here each byte of them would cost.
local owner, lease, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local PROMOTE, CHUNK, PIECE, BYTES, PAGED = 128, 100, 8, 4194304, 4096
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

-- lose takes away a claim of a page that the server has lost.
local function lose(q, member, name, n)
  local p, k = marked(name), 0
  for i = 0, p.marks and p.n - 1 or -1 do
    if markOf(p, i) == n then
      mark(p, i, i, GONE)
      k = k + 1
    end
  end
  if k > 0 then without(q, p, n, k) else call('ZREM', leased(q), member) end
end

-- expire makes claimed tasks ready again; those of a page leave it.
local function expire(q, over)
  local ids, back, seen = {}, {}, {}
  for _, member in ipairs(over) do
    if #ids >= PROMOTE then break end -- the others at the next claim
    local name, n = part(member)
    local p = name and opened(name)
    if not name then
      ids[#ids + 1] = member
    elseif p and find(p.marks, char(n), 1, true) then
      each(p, char(n), function(_, id)
        unpage(q, id, name)
        ids[#ids + 1] = id
      end)
    else
      lose(q, member, name, n)
    end
  end
  for i, s in ipairs(#ids > 0 and call('HMGET', TASKS, unpack(ids)) or {}) do
    local value = not s and call('HGET', BODIES, ids[i])
    local t = s and open(ids[i], s) or value and not isPage(value) and arrived(value)
    if t then
      back[#back + 1], back[#back + 2] = int(t.rank), ids[i]
      seen[#seen + 1], seen[#seen + 2] = NOWS, ids[i]
    else
      call('HDEL', TASKS, ids[i])
    end
  end
  if #back > 0 then
    call('ZADD', ready(q), unpack(back))
    call('ZADD', late(q), unpack(seen))
  end
  if #ids > 0 then call('ZREM', leased(q), unpack(ids)) end
end

-- promote makes ready what is due, and says whether there may be more of it than it looks at.
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
  if #over > 0 then expire(q, over) end
  return #due == PROMOTE or #over > 0 and #call('ZRANGEBYSCORE', leased(q), '-inf', NOWS, 'LIMIT', 0, 1) > 0
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

-- turnTo claims up to n tasks of a page, of which this is the first member of the ready ones, and says how many.
local function turnTo(q, n, member, rank, name, last)
  local p = marked(name)
  if not p.marks then
    n = last - (rank % LANE - name) + 1
    lost = lost + n
    call('ZREM', ready(q), member)
    surplus(ready(q), 1 - n)
    call('HDEL', PAGES, name)
    call('ZREM', RECENT, partOf(name, 0))
    return n
  end
  local from, number = rank - p.base, 1
  while p.claims[number] do number = number + 1 end
  n = math.min(n, last - from + 1)
  if from + n > last then
    call('ZREM', ready(q), member)
    surplus(ready(q), 1 - n)
  else
    call('ZADD', ready(q), int(rank + n), member)
    surplus(ready(q), -n)
  end
  mark(p, from, from + n - 1, char(number))
  p.claims[number] = { epoch = EPOCH, since = NOW, owner = owner }
  call('ZADD', leased(q), TILLS, partOf(name, number))
  surplus(leased(q), n - 1)
  out[#out + 1] = { tonumber(name), from, n, number, p.created, p.n }
  bytes = bytes + n * PAGED
  if call('EXISTS', WATCHED) == 1 and opened(name) then
    local ids = {}
    for i = from, from + n - 1 do ids[#ids + 1] = item(p, i) end
    tell(ids)
  end
  return n
end

-- bodiesOf reads the values of tasks until they are large enough together for one claim: a server that copies more at once serves nobody
-- else for long. It reads few at a time, and no more than there is room for if they are as large as the largest so far. The ids of those that
-- it did not read are removed.
local function bodiesOf(ids)
  local values, size, largest, piece = {}, bytes, 1, 1
  while #values < #ids and size < BYTES do
    for _, value in ipairs(call('HMGET', BODIES, unpack(ids, #values + 1, math.min(#values + piece, #ids)))) do
      local n = value and #value or 0
      values[#values + 1], size, largest = value, size + n, max(largest, n)
    end
    piece = max(1, math.min(PIECE, math.floor((BYTES - size) / largest)))
  end
  for i = #ids, #values + 1, -1 do ids[i] = nil end
  return values
end

-- take claims up to n tasks of a queue, of one page or each by itself, and says how many it found.
local function take(q, n)
  local first = call('ZRANGE', ready(q), 0, 0, 'WITHSCORES')
  if #first == 0 then return 0 end
  if not EPOCH then begin() end
  local name, last = part(first[1])
  if name then return turnTo(q, n, first[1], tonumber(first[2]), name, last) end
  local ids = n > 1 and call('ZRANGE', ready(q), 0, int(n - 1)) or { first[1] }
  for i = #ids, 1, -1 do
    if part(ids[i]) then
      for k = #ids, i, -1 do ids[k] = nil end
    end
  end
  local values = bodiesOf(ids)
  call('ZREMRANGEBYRANK', ready(q), 0, int(#ids - 1))
  if call('EXISTS', late(q)) == 1 then call('ZREM', late(q), unpack(ids)) end
  local touched = call('HMGET', TASKS, unpack(ids))
  local states, leases, taken = {}, {}, {}
  for i, id in ipairs(ids) do
    local value, s = values[i], touched[i]
    if not value or isPage(value) then -- it is in a page if its message was lost and it was published again
      lost = lost + 1
      call('ZREM', RECENT, id)
      call('HDEL', TASKS, id)
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

local got, sorting = 0, 0
local function visit(q)
  local more = promote(q)
  local left = most - got
  local size = call('STRLEN', inbox(q))
  if left > 0 and size > 0 and sorting < 2 * SORTBYTES then
    sorting = sorting + size
    local rest, torn = sortSome(q)
    more, lost = more or rest > 0, lost + (torn and 1 or 0)
  end
  local limit = tonumber(ARGV[4 + q])
  if limit > 0 then left = math.min(left, limit) end
  while left > 0 and bytes < BYTES do
    local n = take(q, math.min(left, CHUNK))
    if n == 0 then break end
    got, left = got + n, left - n
  end
  if more or call('EXISTS', ready(q), inbox(q)) > 0 then ring(q) end -- for the next who waits
  if got == 0 then
    local first = call('ZRANGE', delayed(q), 0, 0, 'WITHSCORES')[2]
    local lease = call('ZRANGE', leased(q), 0, 0, 'WITHSCORES')[2]
    for _, at in ipairs({ first or '', lease or '' }) do
      if at ~= '' and (wait < 0 or at - NOW < wait) then wait = max(at - NOW, 0) end
    end
  end
end
for _, q in ipairs(HOLDING) do visit(q) end -- see ahead.lua
turn()
done()
out[1], out[2] = wait, lost
return out
