-- Gives back what an owner holds. ARGV: time, owner, and the tasks of the queue that may be held. Returns how many were.
local owner, q, n = ARGV[2], 1, 0
for i = 3, #ARGV do
  local id = ARGV[i]
  local t = stateOf(q, id)
  if t and t.owner == owner and (call('ZREM', leased(q), id) == 1 or call('ZREM', late(q), id) == 1) then
    t.owner, t.updated, t.redeliveries = '', NOW, t.redeliveries + 1
    call('HSET', TASKS, id, seal(t))
    call('ZADD', RECENT, NOWS, id)
    call('ZADD', ready(q), int(t.rank), id)
    ring(q)
    tell({ id })
    n = n + 1
  end
end
turn()
return n
