-- Deletes what is past its time. ARGV: time, how many of each sort, dead letters that died by then (empty: none). Returns the numbers
-- of results, dead letters, records and remembered ids, and whether there may be more.
local slice = tonumber(ARGV[2])

-- Results. One that was saved again, or whose life was changed, is not over though an entry of it is.
local results, looked = {}, 0
local over
function over(ids, since)
  looked = looked + #ids
  for n, r in ipairs(call('HMGET', RESULTS, unpack(ids))) do
    if r then
      local _, updated, expires = unpk('<ddd', r)
      if expires <= NOW then
        results[#results + 1] = ids[n]
      elseif updated == since and call('HEXISTS', BODIES, ids[n]) == 0 then
        call('ZADD', RECENT, int(since), ids[n]) -- it outlives its batch
      end
    elseif string.byte(ids[n]) == 2 then
      local b = call('HGET', BATCHES, ids[n])
      call('HDEL', BATCHES, ids[n])
      call('ZREM', RECENT, ids[n])
      if b then over(cmsgpack.unpack(sub(b, 9)), (unpk('<d', b))) end
    end
  end
end
while looked < slice do
  local entry = call('LINDEX', LAPSING, 0)
  if not entry or unpk('<d', entry) > NOW then break end
  call('LPOP', LAPSING)
  over(cmsgpack.unpack(sub(entry, 9)))
end
local more, passed, single = looked >= slice, {}, {}
looked = 0
local lapsed = call('ZRANGEBYSCORE', LAPSES, '-inf', NOWS, 'LIMIT', 0, slice)
for _, id in ipairs(lapsed) do
  if looked + #single >= slice then break end
  passed[#passed + 1] = id
  if string.byte(id) == 2 then over({ id }) else single[#single + 1] = id end
end
if #single > 0 then over(single) end
if #passed > 0 then call('ZREM', LAPSES, unpack(passed)) end
more = more or #lapsed == slice or #passed < #lapsed
for _, id in ipairs(results) do
  if call('HDEL', RESULTS, id) == 1 and call('HEXISTS', BODIES, id) == 0 then call('ZREM', RECENT, id) end
end
local dead = ARGV[3] == '' and {} or call('ZRANGEBYSCORE', DEATHS, '-inf', ARGV[3], 'LIMIT', 0, slice)
for _, m in ipairs(dead) do unbury(sub(m, 17)) end
local records = call('ZRANGEBYSCORE', STALE, '-inf', NOWS, 'LIMIT', 0, slice)
for _, field in ipairs(records) do drop(field) end
local seen = call('ZRANGEBYSCORE', SEEN, '-inf', NOWS, 'LIMIT', 0, slice)
if #seen > 0 then call('ZREM', SEEN, unpack(seen)) end
local kept = call('ZRANGEBYSCORE', KEPT, '-inf', NOWS, 'LIMIT', 0, slice)
if #kept > 0 then
  call('HDEL', HOLDERS, unpack(kept))
  call('ZREM', KEPT, unpack(kept))
end
call('ZREMRANGEBYSCORE', WATCHED, '-inf', NOWS)
return { #results, #dead, #records, #seen, (more or #dead == slice or #records == slice or #seen == slice or #kept == slice) and 1 or 0 }
