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
local function ranks(into, ids)
  for i, s in ipairs(#ids > 0 and call('HMGET', TASKS, unpack(ids)) or {}) do
    local t = s and open(ids[i], s)
    if t then into[#into + 1] = { t.rank, ids[i] } end
  end
end
local function emitByRank(g, tasks)
  table.sort(tasks, function(a, b) return a[1] < b[1] end)
  for _, t in ipairs(tasks) do
    if not full() and (g > after or t[1] > minor) then emit(g, 0, t[1], t[2]) end
  end
end

local many = call('ZCARD', leased(1)) > slice
if after <= 0 and many then
  local begun = after == 0 and major > 0
  local found = call('ZRANGEBYSCORE', leased(1), begun and ARGV[3] or '-inf', '+inf', 'WITHSCORES', 'LIMIT', begun and ARGV[4] or 0, limit)
  local score, n = begun and major or 0, begun and minor or 0
  for i = 1, #found, 2 do
    local s = tonumber(found[i + 1])
    if s ~= score then score, n = s, 0 end
    n = n + 1
    emit(0, s, n, found[i])
  end
elseif after <= 0 and major == 0 then
  local running = {}
  ranks(running, call('ZRANGEBYSCORE', leased(1), '(' .. NOWS, '+inf'))
  emitByRank(0, running)
end

local due = math.min(call('ZCOUNT', delayed(1), '-inf', NOWS), slice)
if after <= 1 and not full() then
  local waiting = {}
  if not many then ranks(waiting, call('ZRANGEBYSCORE', leased(1), '-inf', NOWS)) end
  for _, m in ipairs(due > 0 and call('ZRANGE', delayed(1), 0, int(due - 1)) or {}) do
    waiting[#waiting + 1] = { rankOf(m), idOf(m) }
  end
  local lane = call('ZRANGEBYSCORE', ready(1), after == 1 and '(' .. ARGV[4] or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #lane, 2 do waiting[#waiting + 1] = { tonumber(lane[i + 1]), lane[i] } end
  emitByRank(1, waiting)
end

local from, skip = '-inf', due
if after == 2 then from, skip = ARGV[3], 0 end
while not full() do
  local part = call('ZRANGEBYSCORE', delayed(1), from, '+inf', 'WITHSCORES', 'LIMIT', skip, limit)
  for i = 1, #part, 2 do
    local at, arrival = tonumber(part[i + 1]), tonumber(sub(part[i], 1, 16))
    if not full() and (after < 2 or at > major or at == major and arrival > minor) then emit(2, at, arrival, idOf(part[i])) end
  end
  if #part < 2 * limit then break end
  skip = skip + limit
end
return out
