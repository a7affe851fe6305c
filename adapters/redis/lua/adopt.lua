-- Takes in tasks that leave another lane. ARGV: time, how long a stay is remembered, and for each: the stay's id, created, redeliveries,
-- replays, and the message's two values.
local remember = tonumber(ARGV[2])

for i = 3, #ARGV, 6 do
  local token, created, redeliveries, replays, id, given = unpack(ARGV, i, i + 5)
  local again = tonumber(call('ZSCORE', SEEN, token) or 0) > NOW
  if not again then call('ZADD', SEEN, int(NOW + remember), token) end
  if not again and not live(id) then
    local _, floor = unpk(GIVEN, given)
    call('ZREM', SEEN, id)
    insert(id, given, rise(max(floor, forget(id))), { created = tonumber(created), replays = tonumber(replays) })
    if redeliveries ~= '0' then
      local t = peek(id)
      t.redeliveries = tonumber(redeliveries)
      call('HSET', TASKS, id, seal(t))
    end
  end
end
done()
return 0
