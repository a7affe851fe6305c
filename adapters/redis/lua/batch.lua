-- Results that are saved together are one member of what is known and one entry of what expires: a batch, with when it was saved and the ids.
local batches = {}

-- ended notes that results were saved which expire then.
local function ended(till, ids)
  local b = batches[till]
  if not b then
    batches[till] = ids
    return
  end
  for _, id in ipairs(ids) do b[#b + 1] = id end
end

local function writeBatches()
  for till, ids in pairs(batches) do
    if #ids < 4 then
      local recent = {}
      for _, id in ipairs(ids) do recent[#recent + 1], recent[#recent + 2] = NOWS, id end
      call('ZADD', RECENT, unpack(recent))
      lapse(till, ids)
    else
      local name, value = '\2' .. int(call('HINCRBY', META, 'batch', 1)), pack('<d', NOW) .. cmsgpack.pack(ids)
      if call('HSETNX', BATCHES, name, value) == 0 then -- the counter was lost, and goes on far behind
        name = '\2' .. int(call('HINCRBY', META, 'batch', NOWS))
        call('HSET', BATCHES, name, value)
      end
      call('ZADD', RECENT, NOWS, name)
      lapse(till, { name })
    end
  end
end
