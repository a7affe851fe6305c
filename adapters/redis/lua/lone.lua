-- A claim that finds a lone plain task in the one queue that holds anything takes it here, before claim.lua makes all that pages, pasts and
-- due times need: to a server that was idle that is a third of the work. What is done and returned is the same.
do
  local q, owner = HOLDING[1], ARGV[2]
  if #HOLDING == 1 and (HELD == 1 or HELD == 5 and not within(leased(q), '-inf', NOWS)) then
    local n = call('EXISTS', late(q), WATCHED, WATCHED) -- a key counts as often as it is named
    local ids = n % 2 == 0 and call('ZRANGE', ready(q), 0, 1) or {}
    local id = ids[1]
    local value = #ids == 1 and string.byte(id) ~= 1 and call('HGET', BODIES, id) -- see page.lua
    local flags = value and string.byte(value, 49) -- see state.lua: CHOSEN is all that a plain one may have
    if flags == 0 or flags == 2 then
      local till, epoch = NOW + tonumber(ARGV[3]), max((call('HGET', META, 'epoch') or 0) + 1, NOW)
      if call('HSETNX', TASKS, id, shorten(epoch, NOW, flags == 0 and GENERATEDID or CHOSENID, owner)) == 1 then
        call('HSET', META, 'epoch', int(epoch))
        call('ZREM', ready(q), id)
        call('ZADD', leased(q), int(till), id)
        if n > 1 then tell({ id }) end
        return { -1, 0, NOW, epoch, till, value }
      end
    end
  end
end
