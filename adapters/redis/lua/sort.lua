-- Sorts inboxes. ARGV: time, how many queues. Returns the numbers of those in which there is more: others wait for as long as it sorts.
local out, bytes = {}, 0
for q = 1, tonumber(ARGV[2]) do
  local size = call('STRLEN', inbox(q))
  if size == 0 then
    call('SREM', INBOXES, queueIn(q))
  else
    if bytes >= SORTBYTES or sortSome(q) > 0 then out[#out + 1] = q end
    bytes = bytes + size
    ring(q)
  end
end
done()
return out
