-- When results expire is kept in a list, many ids an entry, as long as each entry expires after the one before, which is so while
-- results live equally long; the others are in a sorted set.
local LAST
local function lapse(till, ids)
  LAST = LAST or tonumber(call('HGET', META, 'lapse') or 0)
  if till < LAST then
    local late = {}
    for _, id in ipairs(ids) do
      late[#late + 1], late[#late + 2] = int(till), id
    end
    call('ZADD', LAPSES, unpack(late))
    return
  end
  if till > LAST then call('HSET', META, 'lapse', int(till)) end
  LAST = till
  call('RPUSH', LAPSING, pack('<d', till) .. cmsgpack.pack(ids))
end
