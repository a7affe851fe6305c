-- Books tasks for those who took them while they waited, see inbox.lua. ARGV: time, and for each: numbers, id, owner. Returns the time. One
-- that is not SOMEBODY's any more is left as it is: who settles it is told that its lease is lost. If it is ready the server has gone back
-- to before it was taken.
local SOON = 3000000 -- bellPatience
for i = 2, #ARGV, 3 do
  local epoch, lease, q = unpk('<ddH', ARGV[i])
  local id, owner = ARGV[i + 1], ARGV[i + 2]
  sort(q)
  local s = call('HGET', TASKS, id)
  if s and isShort(s) and sub(s, 21) == SOMEBODY or not s and call('ZREM', ready(q), id) == 1 then
    rise(epoch - 1)
    call('HSET', TASKS, id, shorten(epoch, epoch, GENERATEDID, owner))
    if call('ZADD', leased(q), int(NOW + lease), id) == 1 and s then -- somebody's lease had ended
      call('ZREM', ready(q), id)
      call('ZREM', late(q), id)
    end
    tell({ id })
  end
  -- He may have no room for what is there, or will be soon, which he alone may know of.
  local soon = call('EXISTS', ready(q)) == 1
  for _, key in ipairs({ delayed(q), leased(q) }) do
    soon = soon or #call('ZRANGEBYSCORE', key, '-inf', int(NOW + SOON), 'LIMIT', 0, 1) > 0
  end
  if soon then ring(q) end
end
done()
return NOW
