-- Settles claims. ARGV: time, how long chosen ids are remembered, and for each settlement: numbers, id, owner, result, state, a word
-- (why it is dead, or the queue to move to), then its group if there is a tally, with generation and callback when that is to be
-- published, then the records and follow-ups. Returns for each 0, 1: lease lost, 2: conflict, 3: acknowledged early; or, nothing
-- being written, generation and callback of the group that it would complete: it is to be asked for again with these. It comes to no
-- more of them than have a megabyte of messages to be buried, and to one at least; the others are to be asked for again.
local DONE_, RETRY, HOLD, RELEASE, PARK, MOVE, BURY, EARLY, CANCEL, PROBE = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
local WITHSTATE, WITHRESULT, TERMINAL, WITHTALLY, WITHCALLBACK = 1, 2, 4, 8, 16
local LOST, CONFLICT, WASEARLY = 1, 2, 3
local BYTES = 1048576
local remember = tonumber(ARGV[2])
local out, bytes = {}, 0

-- giveBack puts a task that left its place into its place in a queue, claimed by nobody, or hides it until it is due.
local function giveBack(q, id, t)
  t.owner, t.updated = '', NOW
  call('HSET', TASKS, id, seal(t))
  enqueue(q, id, t.rank, t.due)
  ring(q)
end

-- move gives a task a place behind what is in another queue.
local function move(t, queue, q)
  sort(q)
  t.rank, t.tail = t.rank - t.rank % LANE + arrival(), retail(t.tail, queue)
  call('SADD', QUEUES, queue)
end

local function held(t, epoch, owner, q, kind, id)
  if not t or t.epoch ~= epoch then return false end
  if kind == CANCEL then return tonumber(call('ZSCORE', leased(q), id) or 0) <= NOW end
  return owner ~= '' and t.owner == owner
end

-- carryOut does the settlement whose values begin at ARGV[i].
local function carryOut(i)
  local epoch, at, ttl, kind, flags, what, q, target, saves, follow = unpk('<dddBBBHHHH', ARGV[i])
  local id, owner, result, extra, word, j = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], i + 6
  local t = stateOf(q, id)
  if not held(t, epoch, owner, q, kind, id) then return LOST end
  if kind == PROBE then return 0 end
  if has(t.flags, ACKED) and kind ~= DONE_ and kind ~= BURY and kind ~= EARLY and kind ~= CANCEL then
    return WASEARLY
  end
  local groupID, generation, callback
  if has(flags, WITHTALLY) then
    groupID, j = ARGV[j], j + 1
    if has(flags, WITHCALLBACK) then
      generation, callback, j = ARGV[j], j + 1, j + 3
    end
  end
  if saves > 0 and conflicts(j, saves) then return CONFLICT end
  if kind == CANCEL then epoch = rise(epoch) end
  if groupID then
    local g = count(groupID, id, epoch, what, true)
    if g and g.state == FIRING and g.gen ~= generation then return { g.gen, callbackOf(g) or '' } end
  end

  if saves > 0 then apply(j, saves) end
  local stored = call('HGET', RESULTS, id)
  if has(flags, WITHRESULT) and fresh(stored, epoch) then
    keep(id, epoch, ttl, has(flags, TERMINAL) and 1 or 0, result, stored)
    stored = true
  end
  if has(flags, WITHSTATE) then t.tail = retail(t.tail, nil, extra) end
  local live = false
  if kind == DONE_ or kind == CANCEL then
    finish(q, id, t, remember)
  elseif kind == BURY then
    local value = call('HGET', BODIES, id)
    bytes = bytes + #(value or '')
    finish(q, id, t, remember)
    if value and not isPage(value) then bury(id, t, word, message(value)) end -- one that has lost its message can not be read
  else
    live = true
    if kind == EARLY then
      if not has(t.flags, ACKED) then t.flags = t.flags + ACKED end
      t.updated = NOW
      call('HSET', TASKS, id, seal(t))
    else
      local till = tonumber(call('ZSCORE', leased(q), id) or 0)
      leave(q, id, t)
      if kind == PARK or kind == MOVE then
        move(t, word, target)
        q = target
      elseif kind ~= RELEASE then
        t.due = at
      end
      giveBack(q, id, t)
      if has(t.flags, UNIQUE) and (kind == RETRY or kind == HOLD) then
        local key, length = uniqueOf(t.tail)
        reserve(id, key, length, max(at, till))
      end
    end
  end
  if live or stored then call('ZADD', RECENT, NOWS, id) else call('ZREM', RECENT, id) end
  tell({ id })
  if groupID then
    local g = count(groupID, id, epoch, what, false)
    if g and g.state == FIRING then
      publish(ARGV[callback], ARGV[callback + 1])
      g.state = FIRED
      writeGroup(g)
    end
  end
  j = j + 3 * saves
  for m = j, j + 2 * follow - 2, 2 do publish(ARGV[m], ARGV[m + 1]) end
  return 0
end

local i = 3
while i <= #ARGV and bytes < BYTES do
  local _, _, _, _, flags, _, _, _, saves, follow = unpk('<dddBBBHHHH', ARGV[i])
  out[#out + 1] = carryOut(i)
  i = i + 6 + 3 * saves + 2 * follow
  if has(flags, WITHTALLY) then i = i + 1 end
  if has(flags, WITHCALLBACK) then i = i + 3 end
end
turn()
done()
return out
