-- Sets the life that is left to results and groups. ARGV: time, TTL, ids.
local till = NOW + tonumber(ARGV[2])
for i = 3, #ARGV do
  local id = ARGV[i]
  local r = call('HGET', RESULTS, id)
  if r then
    local epoch, updated, _, terminal, p = unpk('<dddB', r)
    call('HSET', RESULTS, id, pack('<dddB', epoch, updated, till, terminal) .. sub(r, p))
    call('ZADD', LAPSES, int(till), id)
  end
  local g = call('HGET', GROUPS, id)
  if g then
    local gen, members, ended, succeeded, ttl, _, state, callback = unpk('<Hc0dddddBB', g)
    writeGroup({ id = id, gen = gen, members = members, ended = ended, succeeded = succeeded, ttl = ttl, expires = till, state = state,
      callback = callback })
  end
end
return 0
