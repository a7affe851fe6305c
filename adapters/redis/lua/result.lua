-- A result's value is epoch, update, expiry, whether it is terminal, and the status.
local function fresh(stored, epoch)
  if not stored then return true end
  local e, _, _, terminal = unpk('<dddB', stored)
  return epoch > e or epoch == e and terminal == 0
end

local function keep(id, epoch, ttl, terminal, status)
  call('HSET', RESULTS, id, pack('<dddB', epoch, NOW, NOW + ttl, terminal) .. status)
  lapse(NOW + ttl, { id })
end
