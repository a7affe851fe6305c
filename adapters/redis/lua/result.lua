-- A result's value is epoch, update, expiry, whether it is terminal, and the status.
local function fresh(stored, epoch)
  if not stored then return true end
  local e, _, _, terminal = unpk('<dddB', stored)
  return epoch > e or epoch == e and terminal == 0
end

-- keep saves a status; again: in the place of one whose entry in the list of what expires remains, so that it has its own where there is one
-- for each id.
local function keep(id, epoch, ttl, terminal, status, again)
  call('HSET', RESULTS, id, pack('<dddB', epoch, NOW, NOW + ttl, terminal) .. status)
  if again then call('ZADD', LAPSES, int(NOW + ttl), id) else lapse(NOW + ttl, { id }) end
end
