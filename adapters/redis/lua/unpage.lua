-- What changes a page.
local surpluses = {}
local function surplus(key, n) surpluses[key] = (surpluses[key] or 0) + n end

-- leaveReady gives a ready task of a page a member of its own, between what is before and behind it.
local function leaveReady(q, p, i, id)
  local rank = p.base + i
  local found = call('ZREVRANGEBYSCORE', ready(q), string.format('%.0f', rank), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local name, last = part(found[1] or '')
  if name ~= p.name then return end
  local first = found[2] - p.base
  call('ZREM', ready(q), found[1])
  local members = -1
  if first < i then
    call('ZADD', ready(q), found[2], partOf(name, i - 1))
    members = members + 1
  end
  if i < last then
    call('ZADD', ready(q), int(rank + 1), partOf(name, last))
    members = members + 1
  end
  surplus(ready(q), -1 - members)
  call('ZADD', ready(q), int(rank), id)
end

-- without takes k tasks of a claim from the claimed ones of a queue, whose marks are changed already.
local function without(q, p, claim, k)
  if find(p.marks, char(claim), 1, true) then
    surplus(leased(q), -k)
  else
    call('ZREM', leased(q), partOf(p.name, claim))
    surplus(leased(q), 1 - k)
  end
end

-- unpage takes a task of a queue from its page: from now on it is by itself, in its place and with its state.
local function unpage(q, id, page)
  local p, i = paged(id, page)
  if not p then return end
  local value, m = valueOf(p, i), markOf(p, i)
  local t, c = arrived(value), p.claims[m]
  if ready(q) ~= sub(META, 1, -5) .. 'q:' .. queueOf(t.tail) .. ':r' then return end
  call('HSET', BODIES, id, value)
  call('ZADD', RECENT, 'NX', int(p.created), id)
  if c then
    local till = call('ZSCORE', leased(q), partOf(page, m))
    mark(p, i, i, GONE)
    without(q, p, m, 1)
    call('ZADD', leased(q), till or NOWS, id)
    t.epoch, t.updated, t.owner = c.epoch, c.since, c.owner
    call('HSET', TASKS, id, shorten(t.epoch, t.updated, has(t.flags, CHOSEN) and CHOSENID or GENERATEDID, t.owner))
  else
    leaveReady(q, p, i, id)
    mark(p, i, i, GONE)
  end
  return t
end

-- stateOf reads the state of a task of a queue that is about to change; nil: there is none there.
local function stateOf(q, id)
  local s = call('HGET', TASKS, id)
  local t = s and open(id, s)
  if t then return t end
  local v = call('HGET', BODIES, id)
  if not v then return end
  if isPage(v) then return unpage(q, id, v) end
  return arrived(v)
end

-- turn writes what has changed of pages; whoever changed one calls it last.
local function turn()
  for name, p in pairs(pages) do
    if p.dirty then
      if p.marks == rep(GONE, p.n) then
        call('HDEL', PAGES, name)
        call('HDEL', MARKS, name)
        call('ZREM', RECENT, partOf(name, 0))
      else
        local m = { pack(PAGE, p.created, p.flags, p.lane, p.n), p.marks }
        for number, c in pairs(p.claims) do
          if find(p.marks, char(number), 1, true) then m[#m + 1] = pack(CLAIM, number, c.epoch, c.since, #c.owner, c.owner) end
        end
        call('HSET', MARKS, name, table.concat(m))
      end
    end
  end
  for key, n in pairs(surpluses) do
    if n ~= 0 and call('HINCRBY', SURPLUS, key, int(n)) == 0 then call('HDEL', SURPLUS, key) end
  end
end
