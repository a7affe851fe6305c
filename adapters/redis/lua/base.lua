-- Every script gets the keys of its namespace first, in this order, and then five for each queue it may touch. ARGV[1] is the
-- time in microseconds, or empty: the server's.
local META, BODIES, TASKS, RECENT, RESULTS, LAPSES, SEEN = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local HOLDERS, KEPT, DEAD, DEATHS, DEADCOUNT, QUEUES, WATCHED = KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local GROUPS, GROUPDATA, MEMBERS, EBB, RECORDS, RECORDINDEX, STALE = KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20], KEYS[21]
local LAPSING = KEYS[22]
local FIXED, PER = 22, 5
local call, sub, pack, unpk, max = redis.call, string.sub, struct.pack, struct.unpack, math.max

local function ready(q) return KEYS[FIXED + PER * q - 4] end   -- zset: task by rank
local function delayed(q) return KEYS[FIXED + PER * q - 3] end -- zset: rank and task by due time
local function leased(q) return KEYS[FIXED + PER * q - 2] end  -- zset: task by end of its lease
local function late(q) return KEYS[FIXED + PER * q - 1] end    -- zset: ready tasks whose lease is over, by when that was seen
local function bell(q) return KEYS[FIXED + PER * q] end        -- zset: one member when somebody is to look

local NOW, NOWS = nil, ARGV[1]
if NOWS == '' then
  local t = call('TIME')
  NOWS = t[1] .. string.format('%06d', t[2])
end
NOW = tonumber(NOWS)

-- int writes a number for a command: much faster than what call does by itself.
local function int(n) return string.format('%d', n) end

-- Epochs and record versions rise over the whole namespace, so none is ever used twice, whatever was deleted since. Arrivals are
-- numbered over the whole namespace too.
local E, SEQ
local raised, numbered = false, false
local function counters()
  local c = call('HMGET', META, 'epoch', 'seq')
  E, SEQ = tonumber(c[1] or 0), tonumber(c[2] or 0)
end
local function rise(previous)
  if not E then counters() end
  E, raised = max(E + 1, previous + 1, NOW), true
  return E
end
local function arrival()
  if not SEQ then counters() end
  SEQ, numbered = SEQ + 1, true
  return SEQ
end

-- done writes the counters back; whoever raised one calls it last.
local function done()
  if raised and numbered then
    call('HSET', META, 'epoch', int(E), 'seq', int(SEQ))
  elseif raised then
    call('HSET', META, 'epoch', int(E))
  elseif numbered then
    call('HSET', META, 'seq', int(SEQ))
  end
end

local function ring(q) call('ZADD', bell(q), 0, 'r') end
