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
      local name = '\2' .. int(call('HINCRBY', META, 'batch', 1))
      call('HSET', BATCHES, name, pack('<d', NOW) .. cmsgpack.pack(ids))
      call('ZADD', RECENT, NOWS, name)
      lapse(till, { name })
    end
  end
end
