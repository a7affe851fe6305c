-- Renews leases. ARGV: time, and for each lease: numbers, id, owner. Returns for each whether it is still held.
local out, ids = {}, {}
for i = 3, #ARGV, 3 do ids[#ids + 1] = ARGV[i] end
local states = call('HMGET', TASKS, unpack(ids))
for n, id in ipairs(ids) do
  local epoch, length, q = unpk('<ddH', ARGV[3 * n - 1])
  local owner, t = ARGV[3 * n + 1], states[n] and open(id, states[n]) or stateOf(q, id)
  if not t or t.epoch ~= epoch or owner == '' or t.owner ~= owner then
    out[n] = 0
  else
    local before, till = call('ZSCORE', leased(q), id), NOW + length
    call('ZADD', leased(q), int(till), id)
    if before then
      if till < tonumber(before) then ring(q) end -- who waits for it to end waits less
    else
      call('ZREM', ready(q), id)
      call('ZREM', late(q), id)
    end
    if has(t.flags, UNIQUE) then
      local key, hold = uniqueOf(t.tail)
      reserve(id, key, hold, max(t.due, till))
    end
    out[n] = 1
  end
end
turn()
return out
