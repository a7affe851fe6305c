-- Browses a queue. ARGV: time, group, and two numbers of the place to go on after, limit, how many that have no order yet to look at.
-- Returns for each task: group (0 claimed, 1 ready, 2 delayed), the two numbers of its place, id.
--
-- Ready tasks are in the order of their ranks, and the second number is the rank. Few claimed ones are too; many are in the order in
-- which their leases end: the first number is the end, the second how many before it have the same. Of the tasks that are ready without
-- standing among the ready ones, because they became due or their lease ended, the first are put between them. Further ones that are due
-- are still in the order of the delayed, as a claim finds them: the first number is when, the second their arrival.
local after, major, minor, limit, slice = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local out = {}
local function emit(g, x, y, id)
  for _, v in ipairs({ g, x, y, id }) do out[#out + 1] = v end
end
local function full() return #out >= 4 * limit end
-- ranks adds claimed tasks with their ranks.
local function ranks(into, members)
  for _, member in ipairs(members) do
    local name, n = part(member)
    local p = name and opened(name)
    if p then
      each(p, char(n), function(i, id) into[#into + 1] = { p.base + i, id } end)
    else
      local t = peek(member)
      if t then into[#into + 1] = { t.rank, member } end
    end
  end
end
local function emitByRank(g, tasks)
  table.sort(tasks, function(a, b) return a[1] < b[1] end)
  for _, t in ipairs(tasks) do
    if not full() and (g > after or t[1] > minor) then emit(g, 0, t[1], t[2]) end
  end
end

local many = call('ZCARD', leased(1)) + (call('HGET', SURPLUS, leased(1)) or 0) > slice
if after <= 0 and many then
  local begun = after == 0 and major > 0
  local skip, at = begun and minor or 0, 0
  local score, n = nil, 0
  local function go(id)
    n = n + 1
    if not full() and not (begun and score == major and n <= skip) then emit(0, score, n, id) end
  end
  while not full() do
    local found = call('ZRANGEBYSCORE', leased(1), begun and ARGV[3] or '-inf', '+inf', 'WITHSCORES', 'LIMIT', int(at), limit)
    for i = 1, #found, 2 do
      local s = tonumber(found[i + 1])
      if s ~= score then score, n = s, 0 end
      if not eachOf(found[i], go) then go(found[i]) end
    end
    if #found < 2 * limit then break end
    at = at + limit
  end
elseif after <= 0 and major == 0 then
  local running = {}
  ranks(running, call('ZRANGEBYSCORE', leased(1), '(' .. NOWS, '+inf'))
  emitByRank(0, running)
end

-- line adds the ready tasks after a rank, as many as may be needed.
local function line(into, rank)
  local from, count = rank and string.format('%.0f', rank) or '-inf', #into
  -- The page in which the place is begins before it.
  local before = rank and call('ZREVRANGEBYSCORE', ready(1), from, '-inf', 'WITHSCORES', 'LIMIT', 0, 1) or {}
  local found = call('ZRANGEBYSCORE', ready(1), rank and '(' .. from or from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for _, v in ipairs(found) do before[#before + 1] = v end
  for i = 1, #before, 2 do
    local name, last = part(before[i])
    local p, first = name and opened(name), tonumber(before[i + 1])
    if p then
      for k = first - p.base, last do
        if not rank or p.base + k > rank then into[#into + 1] = { p.base + k, (item(p, k)) } end
      end
    elseif not name and (not rank or first > rank) then
      into[#into + 1] = { first, before[i] }
    end
    if #into - count >= limit then return end
  end
end

local due = math.min(call('ZCOUNT', delayed(1), '-inf', NOWS), slice)
if after <= 1 and not full() then
  local waiting = {}
  if not many then ranks(waiting, call('ZRANGEBYSCORE', leased(1), '-inf', NOWS)) end
  for _, m in ipairs(due > 0 and call('ZRANGE', delayed(1), 0, int(due - 1)) or {}) do
    waiting[#waiting + 1] = { rankOf(m), idOf(m) }
  end
  line(waiting, after == 1 and minor)
  local value, place = call('GET', inbox(1)) or '', 2 ^ 48 -- behind all that is sorted
  local id, _, lane, _, next = letter(value, 1)
  while id do
    place = place + 1
    waiting[#waiting + 1] = { lane * LANE + place, id }
    id, _, lane, _, next = letter(value, next)
  end
  emitByRank(1, waiting)
end

local from, skip = '-inf', due
if after == 2 then from, skip = ARGV[3], 0 end
while not full() do
  local found = call('ZRANGEBYSCORE', delayed(1), from, '+inf', 'WITHSCORES', 'LIMIT', skip, limit)
  for i = 1, #found, 2 do
    local at, arrival = tonumber(found[i + 1]), tonumber(sub(found[i], 1, 16))
    if not full() and (after < 2 or at > major or at == major and arrival > minor) then emit(2, at, arrival, idOf(found[i])) end
  end
  if #found < 2 * limit then break end
  skip = skip + limit
end
return out
