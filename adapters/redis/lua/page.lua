-- A page is messages that were published together, ready at once, of one queue and one priority, with no key and no lease of their own.
-- As long as no more happens to a task than a claim and a plain end, it is in its page only: its body's value is the name of the page,
-- which is the number of its first arrival, and there is no state. For all else it leaves the page first, see unpage.lua.
--
-- A page's value is for each message: when it was published (0: with the page), id, length, what Go wrote. Behind the last there may be the
-- beginning of another, see inbox.lua. The server makes a hash of whatever a script reads, byte by byte, so none reads a page without need. The
-- page's marks are short: when it was published, flags, lane, how many, a byte for each, and the claims that have tasks: number, epoch, time,
-- owner. A byte is READY, the number of the claim, or GONE.
--
-- A page of which a status was saved while its tasks were live is flagged, as a plain end does not look for one.
--
-- Among the ready tasks a page is a member with the rank of its first ready task, which ends with the number of its last; among the claimed
-- ones each of its claims is a member. The surplus of either key is how many more tasks than members it has.
local PAGE, CLAIM = '<dBBH', '<BddHc0'
local READY, GONE, SAVED = '\0', '\255', 128
local char, byte, rep, find = string.char, string.byte, string.rep, string.find

-- part gives the page of a member of a zset and the number behind it; nil: it is a task of its own.
local function part(member)
  if byte(member) ~= 1 then return end
  local page, n = string.match(member, '^\1(%d+):(%d+)$')
  return page, tonumber(n)
end
local function partOf(page, n) return '\1' .. page .. ':' .. n end
local function isPage(value) return #value < 24 end

local pages = {}
-- marked reads the marks of a page; those of one that is gone are nil.
local function marked(name)
  local p = pages[name]
  if p then return p end
  p = { name = name, claims = {} }
  local m = call('HGET', MARKS, name)
  if m then
    local at
    p.created, p.flags, p.lane, p.n, at = unpk(PAGE, m)
    p.base, p.marks, at = p.lane * LANE + tonumber(name), sub(m, at, at + p.n - 1), at + p.n
    while at <= #m do
      local number, epoch, since, owner
      number, epoch, since, owner, at = unpk(CLAIM, m, at)
      p.claims[number] = { epoch = epoch, since = since, owner = owner }
    end
  end
  pages[name] = p
  return p
end

-- opened reads a page whole; nil: it is gone.
local function opened(name)
  local p = marked(name)
  if p.marks and not p.value then
    p.value, p.ends = call('HGET', PAGES, name) or nil, { [0] = 0 }
    for i = 1, p.value and p.n or 0 do
      local _, _, size, at = unpk('<dHc0I', p.value, p.ends[i - 1] + 1)
      p.ends[i] = at + size - 1
    end
  end
  return p.value and p
end

-- item gives id and time of one, and where its length is.
local function item(p, i)
  local time, id, at = unpk('<dHc0', p.value, p.ends[i] + 1)
  return id, time, at
end

-- seat gives the number of a task in its page, from 0 on, or nil.
local function seat(p, id)
  local want, from = pack('<Hc0', #id, id), 1
  while true do
    local at = find(p.value, want, from, true)
    if not at then return end
    local low, high = 0, p.n - 1 -- the item that begins there, if any does: the same bytes may be in another's message
    while low < high do
      local middle = math.floor((low + high + 1) / 2)
      if p.ends[middle] + 9 <= at then low = middle else high = middle - 1 end
    end
    if p.ends[low] + 9 == at then return low end
    from = at + 1
  end
end

local function markOf(p, i) return byte(p.marks, i + 1) end
local function mark(p, from, to, m)
  p.marks, p.dirty = sub(p.marks, 1, from) .. rep(m, to - from + 1) .. sub(p.marks, to + 2), true
end

-- valueOf is the value that a task of a page would have by itself.
local function valueOf(p, i)
  local _, time, at = item(p, i)
  return pack('<ddd', 0, time > 0 and time or p.created, p.base + i) .. sub(p.value, at + 4, p.ends[i + 1])
end

-- paged finds the page of a task by its body's value; nil: it is gone, and so is the task.
local function paged(id, value)
  local p = opened(value)
  local i = p and seat(p, id)
  if i and markOf(p, i) ~= 255 then return p, i end
end

-- peek reads state and value of a task, wherever it is.
local function peek(id, s, value)
  value = value or call('HGET', BODIES, id)
  if not value then return end
  if not isPage(value) then
    s = s or call('HGET', TASKS, id)
    return s and (isShort(s) and lengthen(s, value) or unseal(s)) or arrived(value), value
  end
  local p, i = paged(id, value)
  if not p then return end
  value = valueOf(p, i)
  local t, c = arrived(value), p.claims[markOf(p, i)]
  if c then t.epoch, t.updated, t.owner = c.epoch, c.since, c.owner end
  return t, value, p
end

-- each calls f with the number and the id of the tasks of a page that have this mark.
local function each(p, m, f)
  local i = find(p.marks, m, 1, true)
  while i do
    f(i - 1, (item(p, i - 1)))
    i = find(p.marks, m, i + 1, true)
  end
end

-- eachOf calls f with the id of each task of a claim of a page, and the claim; false: the member is a task of its own.
local function eachOf(member, f)
  local name, n = part(member)
  if not name then return false end
  local p = opened(name)
  if p then each(p, char(n), function(_, id) f(id, p.claims[n]) end) end
  return true
end
