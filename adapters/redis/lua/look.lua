-- Looks what a claim may find. ARGV: time, how many queues. Returns the time until something becomes ready by itself (-1: nothing will),
-- and the numbers of the queues that have something.
local out = { -1 }
for q = 1, tonumber(ARGV[2]) do
  local there = call('EXISTS', ready(q), inbox(q)) > 0
  if not there then
    for _, key in ipairs({ delayed(q), leased(q) }) do
      local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
      local left = first and max(first - NOW, 0)
      there = there or left == 0
      if left and (out[1] < 0 or left < out[1]) then out[1] = left end
    end
  end
  if there then out[#out + 1] = q end
end
return out
