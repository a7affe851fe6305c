-- Takes in tasks that leave another lane. ARGV: time, how long a stay is remembered, and for each: the stay's id, rank and created of the
-- stay here that is over, created, redeliveries, replays, and the message's two values.
local remember = tonumber(ARGV[2])

-- withdraw ends the stay of a task in its queue if it is the one of this arrival.
local function withdraw(id, given, rank, born)
  local _, _, _, _, _, q, n, p = unpk(GIVEN, given)
  local t = stateOf(q, id)
  if not t or t.rank ~= tonumber(rank) or t.created ~= tonumber(born) then return end
  if queueOf(t.tail) ~= queueOf(sub(given, p, p + n - 1)) then return end
  leave(q, id, t)
  call('HDEL', TASKS, id)
  call('HDEL', BODIES, id)
  return t.epoch
end

for i = 3, #ARGV, 8 do
  local stay, rank, born, created, redeliveries, replays, id, given = unpack(ARGV, i, i + 7)
  local again = tonumber(call('ZSCORE', SEEN, stay) or 0) > NOW
  call('ZADD', SEEN, int(NOW + remember), stay)
  local past = not again and withdraw(id, given, rank, born) or 0
  if not again and call('HEXISTS', BODIES, id) == 0 then
    local _, floor = unpk(GIVEN, given)
    call('ZREM', SEEN, id)
    insert(id, given, rise(max(floor, past, forget(id))), { created = tonumber(created), replays = tonumber(replays) })
    if redeliveries ~= '0' then
      local t = peek(id)
      t.redeliveries = tonumber(redeliveries)
      call('HSET', TASKS, id, seal(t))
    end
  end
end
turn()
done()
return 0
