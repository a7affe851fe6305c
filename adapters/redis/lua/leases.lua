-- Goes through the claimed tasks of one queue by the end of their leases. ARGV: time, whether those whose lease was seen to be over, score
-- to begin with, how many of it to pass over, limit. Returns for each: score, when it was updated, id.
local out = {}
local found = call('ZRANGEBYSCORE', ARGV[2] == '1' and late(1) or leased(1), ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
local ids = {}
for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
for i, s in ipairs(#ids > 0 and call('HMGET', TASKS, unpack(ids)) or {}) do
  local _, updated = 0, 0
  if s then _, updated = unpk('<dd', s) end
  for _, v in ipairs({ tonumber(found[2 * i]), updated, ids[i] }) do out[#out + 1] = v end
end
return out
