-- Deletes what is past its time. ARGV: time, how many of each sort, dead letters that died by then (empty: none). Returns the numbers
-- of results, dead letters, records and remembered ids.
local slice, out = ARGV[2], {}
local results = call('ZRANGEBYSCORE', LAPSES, '-inf', NOWS, 'LIMIT', 0, slice)
if #results > 0 then
  call('HDEL', RESULTS, unpack(results))
  call('ZREM', LAPSES, unpack(results))
  for _, id in ipairs(results) do
    if call('HEXISTS', BODIES, id) == 0 then call('ZREM', RECENT, id) end
  end
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
return { #results, #dead, #records, #seen }
