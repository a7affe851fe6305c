-- Goes through the claimed tasks of one queue by the end of their leases. ARGV: time, whether those whose lease was seen to be over, score
-- to begin with, how many of it to pass over, limit. Returns for each: score, when it was updated, id or, for a claim of a page, ids.
local out = {}
local found = call('ZRANGEBYSCORE', ARGV[2] == '1' and late(1) or leased(1), ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
local n = 0
for i = 1, #found, 2 do
  local updated, ids, _ = 0, {}, nil
  if not eachOf(found[i], function(id, c) updated, ids[#ids + 1] = c.since, id end) then
    local s = call('HGET', TASKS, found[i])
    if s then _, updated = unpk('<dd', s) end
    ids = found[i]
  end
  for _, v in ipairs({ tonumber(found[i + 1]), updated, ids }) do out[#out + 1] = v end
  n = n + (type(ids) == 'table' and #ids or 1)
  if n >= tonumber(ARGV[5]) then break end
end
return out
