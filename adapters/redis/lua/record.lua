-- A record's value is version, due time, expiry, update and what Go wrote: reference, tags, body. The index holds a member for each
-- way to list it, in the order of the list; members end with the record's field.
local function present(field)
  local v = call('HGET', RECORDS, field)
  if not v then return 0 end
  local version, _, expires = unpk('<ddd', v)
  if expires > 0 and expires <= NOW then return 0 end
  return version
end

local function indexOf(field, value)
  local version, due, _, _, kind, part, n, p = unpk('<ddddHc0Hc0B', value)
  local at = string.format('%016.0f', version)
  local out = { 0, 'V' .. kind .. '\0' .. at .. field, 0, 'P' .. kind .. '\0' .. part .. '\0' .. at .. field }
  for _ = 1, n do
    local tag
    tag, p = unpk('<Hc0', value, p)
    out[#out + 1], out[#out + 2] = 0, 'T' .. kind .. '\0' .. tag .. '\0' .. at .. field
  end
  if due > 0 then
    out[#out + 1], out[#out + 2] = 0, 'D' .. kind .. '\0' .. string.format('%016.0f', due) .. at .. field
  end
  return out
end

local function drop(field)
  local v = call('HGET', RECORDS, field)
  if not v then return end
  local members = {}
  for i, m in ipairs(indexOf(field, v)) do
    if i % 2 == 0 then members[#members + 1] = m end
  end
  call('ZREM', RECORDINDEX, unpack(members))
  call('HDEL', RECORDS, field)
  call('ZREM', STALE, field)
end

-- A write in ARGV is three values: numbers, field, what Go wrote.
local WRITE = '<ddddB'
local PUT, CREATE, REPLACE, DELETE = 0, 1, 2, 3

-- conflicts says whether one of n writes from ARGV[at] on, applied one after the other, meets another version than it demands.
local function conflicts(at, n)
  local written = {}
  for i = at, at + 3 * n - 3, 3 do
    local want, _, _, _, op = unpk(WRITE, ARGV[i])
    local field = ARGV[i + 1]
    local version = written[field] or present(field)
    if op == CREATE and version ~= 0 or op == REPLACE and (version == 0 or version ~= want) or
      op == DELETE and want ~= 0 and version ~= want then
      return true
    end
    written[field] = op == DELETE and 0 or -1
  end
  return false
end

-- apply writes what conflicts allowed and returns the new versions, 0 for a delete.
local function apply(at, n)
  local versions = {}
  for i = at, at + 3 * n - 3, 3 do
    local _, due, expires, ttl, op = unpk(WRITE, ARGV[i])
    local field, version = ARGV[i + 1], 0
    drop(field)
    if op ~= DELETE then
      version = rise(0)
      if ttl > 0 then expires = NOW + ttl end
      local value = pack('<dddd', version, due, expires, NOW) .. ARGV[i + 2]
      call('HSET', RECORDS, field, value)
      call('ZADD', RECORDINDEX, unpack(indexOf(field, value)))
      if expires > 0 then call('ZADD', STALE, expires, field) end
    end
    versions[#versions + 1] = version
  end
  return versions
end
