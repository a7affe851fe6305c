-- A result's value is epoch, update, expiry, whether it is terminal, and the status.
local function fresh(stored, epoch)
  if not stored then return true end
  local e, _, _, terminal = unpk('<dddB', stored)
  return epoch > e or epoch == e and terminal == 0
end

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

local function keep(id, epoch, ttl, terminal, status)
  call('HSET', RESULTS, id, pack('<dddB', epoch, NOW, NOW + ttl, terminal) .. status)
  lapse(NOW + ttl, { id })
end
