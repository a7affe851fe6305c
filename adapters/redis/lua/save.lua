-- Saves statuses. ARGV: time, and for each: numbers, id, status.
for i = 2, #ARGV, 3 do
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
