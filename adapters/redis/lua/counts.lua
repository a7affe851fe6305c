-- Counts queues. ARGV: time, how many. Returns for each: ready, delayed, running, and the age of the oldest of the first ready ones; 0:
-- there is none. Those that are left when it has read so many bytes are to be asked for again.
local BYTES = 1048576
local out, bytes = {}, 0
local function tasks(key)
  local n = call('ZCARD', key)
  return n > 0 and max(n, n + (call('HGET', SURPLUS, key) or 0)) or 0
end
for q = 1, tonumber(ARGV[2]) do
  if bytes > BYTES then break end
  local due, ended = call('ZCOUNT', delayed(q), '-inf', NOWS), call('ZRANGEBYSCORE', leased(q), '-inf', NOWS)
  local over = #ended
  for _, member in ipairs(ended) do
    if eachOf(member, function() over = over + 1 end) then over = over - 1 end
  end
  local firsts, oldest = {}, 0
  if call('EXISTS', ready(q)) == 1 then
    for lane = 0, 9 do
      local first = call('ZRANGEBYSCORE', ready(q), lane * LANE, '(' .. string.format('%.0f', (lane + 1) * LANE), 'LIMIT', 0, 1)
      firsts[#firsts + 1] = first[1]
    end
  end
  if due > 0 then firsts[#firsts + 1] = idOf(call('ZRANGE', delayed(q), 0, 0)[1]) end
  if over > 0 then firsts[#firsts + 1] = ended[1] end
  local mails, value = 0, call('GET', inbox(q)) or ''
  local id, time, _, _, next = letter(value, 1)
  while id do
    if mails == 0 then oldest = time end
    mails = mails + 1
    id, time, _, _, next = letter(value, next)
  end
  bytes = bytes + #value
  for _, id in ipairs(firsts) do
    local name = part(id)
    local t = name and marked(name) or peek(id)
    if t and t.created and (oldest == 0 or t.created < oldest) then oldest = t.created end
  end
  out[#out + 1] = tasks(ready(q)) + due + over + mails
  out[#out + 1] = call('ZCARD', delayed(q)) - due
  out[#out + 1] = max(tasks(leased(q)) - over, 0)
  out[#out + 1] = oldest > 0 and max(NOW - oldest, 0) or 0
end
return out
