-- Counts queues. ARGV: time, how many. Returns for each: ready, delayed, running, and the age of the oldest of the first ready ones; 0:
-- there is none.
local out = {}
for q = 1, tonumber(ARGV[2]) do
  local due, over = call('ZCOUNT', delayed(q), '-inf', NOWS), call('ZCOUNT', leased(q), '-inf', NOWS)
  local firsts, oldest = {}, 0
  if call('EXISTS', ready(q)) == 1 then
    for lane = 0, 9 do
      local first = call('ZRANGEBYSCORE', ready(q), lane * LANE, '(' .. string.format('%.0f', (lane + 1) * LANE), 'LIMIT', 0, 1)
      firsts[#firsts + 1] = first[1]
    end
  end
  if due > 0 then firsts[#firsts + 1] = idOf(call('ZRANGE', delayed(q), 0, 0)[1]) end
  if over > 0 then firsts[#firsts + 1] = call('ZRANGE', leased(q), 0, 0)[1] end
  for _, id in ipairs(firsts) do
    local t = stateOf(id)
    if t and (oldest == 0 or t.created < oldest) then oldest = t.created end
  end
  out[#out + 1] = call('ZCARD', ready(q)) + due + over
  out[#out + 1] = call('ZCARD', delayed(q)) - due
  out[#out + 1] = call('ZCARD', leased(q)) - over
  out[#out + 1] = oldest > 0 and max(NOW - oldest, 0) or 0
end
return out
