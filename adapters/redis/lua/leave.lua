-- Ends stays of tasks that have gone to another lane, claimed or not. ARGV: time, how long chosen ids are remembered, and for each: id,
-- queue, its number, and rank and created of the stay.
for i = 3, #ARGV, 5 do
  local id, queue, q, rank, born = unpack(ARGV, i, i + 4)
  q = tonumber(q)
  local t = stateOf(q, id)
  if t and t.rank == tonumber(rank) and t.created == tonumber(born) and queueOf(t.tail) == queue then
    finish(q, id, t, tonumber(ARGV[2]))
    if call('HEXISTS', RESULTS, id) == 0 then call('ZREM', RECENT, id) end
    tell({ id })
  end
end
turn()
return 0
