-- A claim that finds a lone plain task in the one queue that holds anything takes it here, before claim.lua makes all that pages, pasts and
-- due times need: to a server that was idle that is a third of the work. What is done and returned is the same, as long as what
-- is in an inbox is new.
do
  local q, owner = HOLDING[1], ARGV[2]

  -- old gives id and value of a task that is alone among the ready ones.
  local function old()
    local ids = call('ZRANGE', ready(q), 0, 1)
    local value = #ids == 1 and string.byte(ids[1]) ~= 1 and call('HGET', BODIES, ids[1]) -- see page.lua
    local flags = value and string.byte(value, 49) -- see state.lua: CHOSEN is all that a plain one may have
    if (flags == 0 or flags == 2) and call('HEXISTS', TASKS, ids[1]) == 0 then
      call('ZREM', ready(q), ids[1])
      return ids[1], value, flags == 0 and GENERATEDID or CHOSENID
    end
  end

  -- new sorts a message that is alone in the inbox, see inbox.lua, but for its place among the ready ones, and gives id and value.
  local function new()
    local mail = call('GETRANGE', inbox(q), 0, 8191)
    local id, time, _, begin, next = letter(mail, 1)
    if not id or next ~= #mail + 1 then return end
    local given = sub(mail, begin)
    local queue = unpk('<Hc0', given, 31)
    local value = pack('<ddd', 0, time, string.byte(given, 26) * LANE + call('HINCRBY', META, 'seq', '1')) .. given
    if call('HSETNX', BODIES, id, value) == 0 then return end
    call('ZADD', RECENT, int(time), id)
    call('SADD', QUEUES, queue)
    call('HDEL', UNSORTED, id)
    call('DEL', inbox(q))
    return id, value, GENERATEDID
  end

  if #HOLDING == 1 and (HELD % 8 < 4 or not within(leased(q), '-inf', NOWS)) then
    local n, holds, id, value, mark = call('EXISTS', late(q), WATCHED, WATCHED), HELD % 4 + (HELD > 7 and 8 or 0), nil, nil, nil
    if holds == 1 and n % 2 == 0 then
      id, value, mark = old()
    elseif holds == 8 then
      id, value, mark = new()
    end
    if id then
      local till, epoch = NOW + tonumber(ARGV[3]), max((call('HGET', META, 'epoch') or 0) + 1, NOW)
      call('HSET', TASKS, id, shorten(epoch, NOW, mark, owner))
      call('HSET', META, 'epoch', int(epoch))
      call('ZADD', leased(q), int(till), id)
      if n > 1 then tell({ id }) end
      return { -1, 0, NOW, epoch, till, value }
    end
  end
end
