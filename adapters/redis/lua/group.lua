-- A group's value is generation, members, ended, succeeded, TTL, expiry, state and whether there is a callback; each member's end is
-- a field of its own, so that a group of any size costs the same.
local OPEN, FIRING, FIRED, DONE, FAILED = 1, 2, 3, 4, 5
local SUCCEEDED = 1

local function group(id)
  local v = call('HGET', GROUPS, id)
  if not v then return end
  local g = { id = id }
  g.gen, g.members, g.ended, g.succeeded, g.ttl, g.expires, g.state, g.callback = unpk('<Hc0dddddBB', v)
  if g.expires > NOW then return g end
end
local function writeGroup(g)
  call('HSET', GROUPS, g.id, pack('<Hc0dddddBB', #g.gen, g.gen, g.members, g.ended, g.succeeded, g.ttl, g.expires, g.state, g.callback))
  call('ZADD', EBB, g.expires, g.gen .. g.id)
end
local function groupData(g) return g.gen .. g.id end

-- count counts an end, on paper only when dry, and returns the group after it. what is the end's number: 1 is success, 0 is none.
local function count(id, task, epoch, what, dry)
  local g = group(id)
  if not g then return end
  local field = g.gen .. #id .. ':' .. id .. task
  local old = call('HGET', MEMBERS, field)
  local was, before = 0, 0
  if old and old ~= '' then before, was = unpk('<dB', old) end
  if not old or what == 0 or (was ~= 0 and epoch <= before) then return g end
  if was == 0 then g.ended = g.ended + 1 end
  if was == SUCCEEDED then g.succeeded = g.succeeded - 1 end
  if what == SUCCEEDED then g.succeeded = g.succeeded + 1 end
  if g.state ~= FIRING and g.state ~= FIRED then
    if g.ended < g.members then
      g.state = OPEN
    elseif g.succeeded < g.members then
      g.state = FAILED
    elseif g.callback == 1 then
      g.state = FIRING
    else
      g.state = DONE
    end
  end
  g.expires = max(g.expires, NOW + g.ttl)
  if not dry then
    call('HSET', MEMBERS, field, pack('<dB', epoch, what))
    writeGroup(g)
  end
  return g
end

local function callbackOf(g) return call('HGET', GROUPDATA, 'c' .. groupData(g)) end
