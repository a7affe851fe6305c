-- Lists claimed tasks. ARGV: time, how many queues, how many tasks to look at at most. Returns the numbers of the queues that were left out
-- because they hold too many, and then for each task: when it was updated, id.
local left, large, out = tonumber(ARGV[3]), {}, {}
for q = 1, tonumber(ARGV[2]) do
  local n = call('ZCARD', leased(q)) + call('ZCARD', late(q)) + (call('HGET', SURPLUS, leased(q)) or 0)
  if n > left then
    large[#large + 1] = q
  elseif n > 0 then
    left = left - n
    for _, key in ipairs({ leased(q), late(q) }) do
      local ids = {}
      for _, member in ipairs(call('ZRANGE', key, 0, -1)) do
        if not eachOf(member, function(id, c) out[#out + 1], out[#out + 2] = c.since, id end) then ids[#ids + 1] = member end
      end
      for i, s in ipairs(#ids > 0 and call('HMGET', TASKS, unpack(ids)) or {}) do
        if s then
          local _, updated = unpk('<dd', s)
          out[#out + 1], out[#out + 2] = updated, ids[i]
        end
      end
    end
  end
end
return { large, out }
