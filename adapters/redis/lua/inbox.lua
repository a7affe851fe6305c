-- Messages that producers enqueue one by one come into the inbox of their queue first, a string, by plain commands: each is an item as in a
-- page, with its time. Until they are sorted UNSORTED has their ids and the queue. Whoever next puts anything behind them, or takes something
-- out of the queue, sorts them into it, where many cost little each: what came together and has one priority is a page then.
--
-- What comes alone, as far as its producer knows, is also offered to who waits, see offer.go. It is his from the moment that it is no offer any more,
-- and he says so soon, by book.lua. Who sorts the inbox before has it claimed by SOMEBODY: should that one be gone, it comes back when the lease ends.
local SORTBYTES = 524288 -- that are sorted at a time
local SOMEBODY = '?'
local sortSome
do -- a script has room for 200 names
  local PAGEMIN, PAGEMAX, PAGEBYTES = 8, 128, 16384 -- see page.go
  local SOMETIME = 30000000 -- microseconds, as stem.DefaultLease
  local SPAN = 100000 -- microseconds between the messages of a page, which is listed where the first would be

  -- anyLive says whether there is a task of one of these ids.
  local function anyLive(ids)
    for _, v in ipairs(call('HMGET', BODIES, unpack(ids))) do
      if v then return true end
    end
  end

  -- sortOld sorts messages of which one is there already: those are for publish to judge.
  local function sortOld(q, value, at, till)
    while at < till do
      local id, _, _, begin, next = letter(value, at)
      publish(id, sub(value, begin, begin + 25) .. pack('<H', q) .. sub(value, begin + 28, next - 1))
      at = next
    end
  end

  -- sortFew sorts new messages of one priority, each by itself.
  local function sortFew(q, value, at, till)
    local bodies, recent, places, n = {}, {}, {}, 0
    while at < till do
      local id, time, lane, begin, next = letter(value, at)
      local rank = lane * LANE + arrival()
      bodies[n + 1], bodies[n + 2] = id, pack('<ddd', 0, time, rank) .. sub(value, begin, next - 1)
      recent[n + 1], recent[n + 2], places[n + 1], places[n + 2] = int(time), id, int(rank), id
      at, n = next, n + 2
    end
    call('HSET', BODIES, unpack(bodies))
    call('ZADD', RECENT, unpack(recent))
    call('ZADD', ready(q), unpack(places))
  end

  -- sortTaken sorts a message that somebody has taken who waited for it.
  local function sortTaken(q, value, id, time, lane, begin, next)
    if call('HSETNX', BODIES, id, pack('<ddd', 0, time, lane * LANE + arrival()) .. sub(value, begin, next - 1)) == 1 then
      call('ZADD', RECENT, int(time), id)
      rise(time + 1) -- later claims have epochs above his, which is above this one
      call('HSET', TASKS, id, shorten(time, NOW, GENERATEDID, SOMEBODY))
      call('ZADD', leased(q), int(NOW + SOMETIME), id)
    end
    call('HDEL', UNSORTED, id)
  end

  -- sortRun sorts messages of one priority that are next to each other, up to a byte.
  local function sortRun(q, value, run, till)
    if run.twice or anyLive(run.ids) then
      sortOld(q, value, run.from, till)
    elseif run.offered or #run.ids < PAGEMIN then
      sortFew(q, value, run.from, till)
    else
      bind(q, 0, run.lane, sub(value, run.from, till - 1), run.time, run.ids)
    end
    call('HDEL', UNSORTED, unpack(run.ids))
  end

  -- sortSome sorts the first messages of an inbox. It returns how many bytes they had, none if the inbox is empty then, and whether there was anything
  -- that is no message, which it drops. What a full server refuses is its first write: until then nothing has been taken out.
  local sorted = {}
  function sortSome(q)
    sorted[q] = true -- publish, which it may call, is not to begin anew
    local value = call('GETRANGE', inbox(q), 0, SORTBYTES - 1)
    local at, n, run, is, queue, back = 1, 0, nil, nil, nil, {}
    while at <= #value do
      local id, time, lane, begin, next, offered = letter(value, at)
      if not id then break end
      queue = queue or unpk('<Hc0', value, begin + 30)
      local offer = offered and sub(value, at, next - 1)
      local taken = offer and not call('ZSCORE', offers(q), offer)
      if offer and not taken then back[#back + 1] = offer end
      if run and (taken or offered ~= run.offered or lane ~= run.lane or n == PAGEMAX or next - run.from > PAGEBYTES or math.abs(time - run.time) > SPAN) then
        sortRun(q, value, run, at)
        run = nil
      end
      if taken then
        sortTaken(q, value, id, time, lane, begin, next)
      else
        if not run then run, n, is = { lane = lane, from = at, time = time, offered = offered, ids = {} }, 0, {} end
        n = n + 1
        run.ids[n], run.twice, is[id] = id, run.twice or is[id], true
      end
      at = next
    end
    if run then sortRun(q, value, run, at) end
    if queue then call('SADD', QUEUES, queue) end
    if #back > 0 then call('ZREM', offers(q), unpack(back)) end -- not before: a full server would go on after it
    if #value == SORTBYTES and at > 1 then
      local rest = call('GETRANGE', inbox(q), int(at - 1), -1)
      if rest ~= '' then
        call('SET', inbox(q), rest)
        return at - 1, false
      end
    end
    call('DEL', inbox(q))
    return 0, at <= #value
  end

  -- sort sorts the inbox of a queue, once a script.
  function sort(q)
    if sorted[q] then return end
    sorted[q] = true
    if call('EXISTS', inbox(q)) == 0 then return end
    repeat
      local n = sortSome(q)
    until n == 0
    if call('EXISTS', ready(q)) == 1 then ring(q) end -- what was offered is no more
  end
end
