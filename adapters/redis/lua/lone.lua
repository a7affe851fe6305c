-- A claim that finds a lone plain task in the one queue that holds anything takes it here, before claim.lua makes all that pages, pasts and
-- due times need: to a server that was idle that is a third of the work. What is done and returned is the same, as long as what
-- is in an inbox is new. There are no functions in it, as each that is made is garbage for the server to collect.
do
  local q = HOLDING[1]
  if #HOLDING == 1 and (HELD % 8 < 4 or not within(leased(q), '-inf', NOWS)) then
    local n, holds = call('EXISTS', late(q), WATCHED, WATCHED), HELD % 4 + (HELD > 7 and 8 or 0)
    local id, value, mark, last, seq
    if holds == 1 and n % 2 == 0 then -- it is to be alone among the ready ones
      local ids = call('ZRANGE', ready(q), 0, 1)
      value = #ids == 1 and string.byte(ids[1]) ~= 1 and call('HGET', BODIES, ids[1]) -- see page.lua
      local flags = value and string.byte(value, 49) -- see state.lua: CHOSEN is all that a plain one may have
      if (flags == 0 or flags == 2) and call('HEXISTS', TASKS, ids[1]) == 0 then
        id, mark, last = ids[1], flags == 0 and GENERATEDID or CHOSENID, call('HGET', META, 'epoch')
        call('ZREM', ready(q), id)
      end
    elseif holds == 8 then -- or in the inbox, see inbox.lua, and is sorted but for its place among the ready ones
      local mail = call('GETRANGE', inbox(q), 0, 8191)
      local new, time, lane, begin, next, offered = letter(mail, 1)
      if new and next == #mail + 1 and #mail < 8192 and not (offered and call('ZREM', offers(q), mail) == 0) then -- nothing is behind it, nobody has it
        local c = call('HMGET', META, 'epoch', 'seq')
        seq = (c[2] or 0) + 1
        value = pack('<ddd', 0, time, lane * LANE + seq) .. sub(mail, begin)
        if call('HSETNX', BODIES, new, value) == 1 then
          id, mark, last = new, GENERATEDID, c[1]
          call('ZADD', RECENT, int(time), id)
          call('SADD', QUEUES, queueIn(q))
          call('SREM', INBOXES, queueIn(q))
          call('DEL', inbox(q))
        end
      end
    end
    if id then
      local till, epoch = NOW + tonumber(ARGV[3]), max((last or 0) + 1, NOW)
      call('HSET', TASKS, id, shorten(epoch, NOW, mark, ARGV[2]))
      if seq then call('HSET', META, 'epoch', int(epoch), 'seq', int(seq)) else call('HSET', META, 'epoch', int(epoch)) end
      call('ZADD', leased(q), int(till), id)
      if n > 1 then tell({ id }) end
      return { -1, 0, NOW, epoch, till, value }
    end
  end
end
