-- Saves statuses. ARGV: time, whether it was looked into inboxes, and for each: numbers, id, status. Returns 1, and has saved none, if that was not
-- done and one is of a task that may be in one.
if ARGV[2] == '0' and call('EXISTS', INBOXES) == 1 then
  for i = 3, #ARGV, 3 do
    local id = ARGV[i + 1]
    if call('HEXISTS', BODIES, id) == 0 and call('HEXISTS', RESULTS, id) == 0 then return 1 end
  end
end
for i = 3, #ARGV, 3 do
  local epoch, ttl, terminal = unpk('<ddB', ARGV[i])
  local id = ARGV[i + 1]
  local t, _, p = peek(id)
  local stored = call('HGET', RESULTS, id)
  if not (t and epoch < t.epoch) and fresh(stored, epoch) then
    keep(id, epoch, ttl, terminal, ARGV[i + 2], stored)
    call('ZADD', RECENT, NOWS, id)
    tell({ id })
    if p and not has(p.flags, SAVED) then p.flags, p.dirty = p.flags + SAVED, true end
  end
end
turn()
return 0
