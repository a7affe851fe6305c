-- Reads the list of what is known from a time on, newest first. ARGV: time, that time, limit. Returns ids and when they were updated, all of one
-- time together in any order, until it has as many of earlier times as the limit says; fewer: there are no more.
local limit, out, later = tonumber(ARGV[3]), {}, 0
local score

local function emit(id)
  out[#out + 1], out[#out + 2] = id, score
  if score ~= ARGV[2] then later = later + 1 end
end

-- emitBatch gives the tasks of a batch of which nothing later is known.
local function emitBatch(name)
  local b = call('HGET', BATCHES, name)
  if not b then return end
  local time, ids = unpk('<d', b), cmsgpack.unpack(sub(b, 9))
  local live = call('HMGET', BODIES, unpack(ids))
  for i, r in ipairs(call('HMGET', RESULTS, unpack(ids))) do
    local _, updated = 0, nil
    if r then _, updated = unpk('<dd', r) end
    if updated == time and not live[i] then emit(ids[i]) end
  end
end

local CHUNK, from = 100, 0
while true do
  local found = call('ZREVRANGEBYSCORE', RECENT, ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', int(from), CHUNK)
  for i = 1, #found, 2 do
    local member, first = found[i], byte(found[i])
    if found[i + 1] ~= score and later >= limit then return out end
    score = found[i + 1]
    if first == 1 then
      local name = part(member)
      local p = name and opened(name)
      for n = 0, p and p.n - 1 or -1 do
        local id = markOf(p, n) ~= 255 and item(p, n)
        if id and not (has(p.flags, SAVED) and call('ZSCORE', RECENT, id)) then emit(id) end
      end
    elseif first == 2 then
      emitBatch(member)
    else
      emit(member)
    end
  end
  if #found < 2 * CHUNK then return out end
  from = from + CHUNK
end
