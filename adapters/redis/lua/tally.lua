-- Counts ends. ARGV: time, and for each: group, task, epoch, end. Returns for each: state, callback.
local out = {}
for i = 2, #ARGV, 4 do
  local g = count(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), false)
  out[#out + 1] = g and g.state or 0
  out[#out + 1] = g and g.state == FIRING and callbackOf(g) or ''
end
return out
