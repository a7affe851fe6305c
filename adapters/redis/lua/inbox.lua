-- Messages that producers enqueue one by one come into the inbox of their queue first, a string, by plain commands: each is an item as in a
-- page, with its time. INBOXES has the names of queues that may have some. Whoever next puts anything behind them, or takes something
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
  end

  -- sortRun sorts messages of one priority that are next to each other, up to a byte.
  local function sortRun(q, piece, run, till, ids, twice)
    if twice or anyLive(ids) then
      sortOld(q, piece, run.from, till)
    elseif run.offered or #ids < PAGEMIN then
      sortFew(q, piece, run.from, till)
    else
      local whole = run.from == 1 and cut(piece, till)
      bind(q, 0, run.lane, whole and piece or sub(piece, run.from, till - 1), run.time, ids)
    end
  end

  -- sortPiece sorts the messages that a piece of an inbox begins with, but for what there is of one that ends behind it, and says where they end.
  -- Mostly they are one page, whose value is the piece as it is: the server makes a hash of whatever is cut out of it, byte by byte.
  local function sortPiece(q, piece, back)
    local at, run, n, twice, ids, is = 1, nil, 0, false, nil, nil
    local function finish()
      if run then sortRun(q, piece, run, at, ids, twice) end
    end
    while true do
      local id, time, lane, begin, next, offered = letter(piece, at)
      if not id then break end
      local taken = false
      if offered then
        local offer = sub(piece, at, next - 1)
        taken = not call('ZSCORE', offers(q), offer)
        if not taken then back[#back + 1] = offer end
      end
      if not run or taken or offered ~= run.offered or lane ~= run.lane or n == PAGEMAX or next - run.from > PAGEBYTES
        or time - run.time > SPAN or run.time - time > SPAN then
        finish()
        run, n, twice, ids, is = not taken and { lane = lane, from = at, time = time, offered = offered }, 0, false, {}, {}
      end
      if taken then
        sortTaken(q, piece, id, time, lane, begin, next)
      else
        n = n + 1
        ids[n], twice, is[id] = id, twice or is[id], true
      end
      at = next
    end
    finish()
    return at
  end

  -- sortSome sorts the first messages of an inbox. It returns how many bytes they had, none if the inbox is empty then, and whether there was anything
  -- that is no message, which it drops. What a full server refuses is its first write: until then nothing has been taken out.
  local sorted = {}
  function sortSome(q)
    sorted[q] = true -- publish, which it may call, is not to begin anew
    local from, size, back, torn = 0, PAGEBYTES, {}, false
    while from < SORTBYTES do
      local piece = call('GETRANGE', inbox(q), int(from), int(from + size - 1))
      local whole = sortPiece(q, piece, back) - 1
      from, torn = from + whole, whole < #piece
      if #piece < size or whole == 0 and size == SORTBYTES then
        size = 0
        break
      end
      if whole == 0 then size = SORTBYTES end
    end
    if from > 0 then call('SADD', QUEUES, queueIn(q)) end
    if #back > 0 then call('ZREM', offers(q), unpack(back)) end -- not before: a full server would go on after it
    if size > 0 then
      local rest = call('GETRANGE', inbox(q), int(from), -1)
      if rest ~= '' then
        call('SET', inbox(q), rest)
        return from, false
      end
    end
    call('DEL', inbox(q))
    call('SREM', INBOXES, queueIn(q))
    return 0, torn
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
