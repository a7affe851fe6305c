-- Lists claimed tasks. ARGV: time, how many queues. Returns for each: when it was updated, id.
local out = {}
for q = 1, tonumber(ARGV[2]) do
  for _, key in ipairs({ leased(q), late(q) }) do
    local ids = call('ZRANGE', key, 0, -1)
    for from = 1, #ids, 1000 do
      local part = {}
      for i = from, math.min(from + 999, #ids) do part[#part + 1] = ids[i] end
      for i, s in ipairs(call('HMGET', TASKS, unpack(part))) do
        if s then
          local _, updated = unpk('<dd', s)
          out[#out + 1], out[#out + 2] = updated, part[i]
        end
      end
    end
  end
end
return out
