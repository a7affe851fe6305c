-- Browses a queue. ARGV: time, group, due time and rank (of the delayed: arrival) to go on after, limit. Returns for each task: group
-- (0 claimed, 1 ready, 2 delayed), due time if delayed, rank or arrival, id.
local after, afterDue, afterRank, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local out = {}

-- ranks gives claimed tasks with their ranks.
local function ranks(into, ids)
  for from = 1, #ids, 1000 do
    local part = {}
    for i = from, math.min(from + 999, #ids) do part[#part + 1] = ids[i] end
    for i, s in ipairs(call('HMGET', TASKS, unpack(part))) do
      if s then into[#into + 1] = { open(s).rank, part[i] } end
    end
  end
end
local function emit(g, tasks)
  table.sort(tasks, function(a, b) return a[1] < b[1] end)
  for _, t in ipairs(tasks) do
    if #out < 4 * limit and (g > after or t[1] > afterRank) then
      for _, v in ipairs({ g, 0, t[1], t[2] }) do out[#out + 1] = v end
    end
  end
end

if after <= 0 then
  local running = {}
  ranks(running, call('ZRANGEBYSCORE', leased(1), '(' .. NOWS, '+inf'))
  emit(0, running)
end
if after <= 1 and #out < 4 * limit then
  local waiting = {}
  ranks(waiting, call('ZRANGEBYSCORE', leased(1), '-inf', NOWS))
  for _, m in ipairs(call('ZRANGEBYSCORE', delayed(1), '-inf', NOWS)) do waiting[#waiting + 1] = { rankOf(m), idOf(m) } end
  local from = '-inf'
  if after == 1 then from = '(' .. ARGV[4] end
  local lane = call('ZRANGEBYSCORE', ready(1), from, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  for i = 1, #lane, 2 do waiting[#waiting + 1] = { tonumber(lane[i + 1]), lane[i] } end
  emit(1, waiting)
end
if #out < 4 * limit then
  local from, skip = '(' .. NOWS, 0
  if after == 2 and afterDue > NOW then from = ARGV[3] end
  while #out < 4 * limit do
    local part = call('ZRANGEBYSCORE', delayed(1), from, '+inf', 'WITHSCORES', 'LIMIT', skip, limit)
    for i = 1, #part, 2 do
      local due, arrival = tonumber(part[i + 1]), tonumber(sub(part[i], 1, 16))
      if #out < 4 * limit and (after < 2 or due > afterDue or due == afterDue and arrival > afterRank) then
        for _, v in ipairs({ 2, due, arrival, idOf(part[i]) }) do out[#out + 1] = v end
      end
    end
    if #part < 2 * limit then break end
    skip = skip + limit
  end
end
return out
