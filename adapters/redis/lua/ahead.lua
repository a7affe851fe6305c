-- What a claim sees before all else; ARGV and what it returns are those of the script. Most of the queues that an idle daemon asks for hold
-- nothing, and then this is all that they cost. Who takes something may have no room for what becomes due soon, which he alone may know of:
-- so he rings for the next who waits. HOLDING are the queues that hold something, and HELD what the last of them holds: 1 for ready tasks, 2
-- for delayed ones, 4 for claimed ones and 8 for such as are in its inbox.
local HOLDING, HELD = {}, 0
local function within(key, from, to) return #call('ZRANGEBYSCORE', key, from, to, 'LIMIT', 0, 1) > 0 end
do
  local SOON = 3000000 -- bellPatience
  local takes, after, till, soon = false, '(' .. NOWS, int(NOW + SOON), {}
  for q = 1, #ARGV - 4 do
    local i, l = inbox(q), leased(q)
    local n = call('EXISTS', ready(q), delayed(q), delayed(q), l, l, l, l, i, i, i, i, i, i, i, i) -- a key counts as often as it is named
    if n > 0 then
      local waits, runs = n % 4 > 1, n % 8 > 3
      HOLDING[#HOLDING + 1], HELD = q, n
      takes = takes or n % 2 == 1 or n > 7 or waits and within(delayed(q), '-inf', NOWS) or runs and within(leased(q), '-inf', NOWS)
      if waits and within(delayed(q), after, till) or runs and within(leased(q), after, till) then soon[#soon + 1] = q end
    end
  end
  if #HOLDING == 0 then return { -1, 0, NOW, 0, 0 } end
  if takes then
    for _, q in ipairs(soon) do ring(q) end
  end
end
