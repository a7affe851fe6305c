-- Reads dead letters, newest first. ARGV: time, queue (empty: any), first score, how many to pass over, how many to look at, and how many
-- bytes to return before it stops. Returns how many it looked at, whether there may be more, and for each that is of the queue id and value.
local since, from, bytes, limit = tonumber(ARGV[3]), tonumber(ARGV[4]), 0, tonumber(ARGV[6])
local members = call('ZREVRANGE', DEATHS, ARGV[4], int(from + ARGV[5] - 1), 'WITHSCORES')
local out = { 0, #members == 2 * ARGV[5] and 1 or 0 }
for i = 1, #members, 2 do
  if tonumber(members[i + 1]) < since then
    out[2] = 0
    break
  elseif bytes >= limit then
    out[2] = 1
    break
  end
  out[1] = out[1] + 1
  local id = sub(members[i], 17)
  local d = call('HGET', DEAD, id)
  if d then
    local _, _, queue = unpk('<ddHc0', d)
    if ARGV[2] == '' or queue == ARGV[2] then
      out[#out + 1], out[#out + 2] = id, d
      bytes = bytes + #d
    end
  end
end
return out
