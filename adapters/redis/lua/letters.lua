-- Reads dead letters, newest first. ARGV: time, queue (empty: any), first score, how many to pass over, how many to look at. Returns how
-- many it looked at and, for each that is of the queue, id and value.
local members = call('ZREVRANGEBYSCORE', DEATHS, '+inf', ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
local out = { #members }
for _, m in ipairs(members) do
  local id = sub(m, 17)
  local d = call('HGET', DEAD, id)
  if d then
    local _, _, queue = unpk('<ddHc0', d)
    if ARGV[2] == '' or queue == ARGV[2] then out[#out + 1], out[#out + 2] = id, d end
  end
end
return out
