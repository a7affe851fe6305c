-- Forgets queues that hold nothing. ARGV: time, their names.
for q = 1, #ARGV - 1 do
  if call('EXISTS', ready(q), delayed(q), leased(q), inbox(q)) == 0 then
    call('DEL', bell(q), late(q), offers(q))
    call('HDEL', SURPLUS, ready(q), leased(q)) -- there are none, unless the server lost a key
    call('SREM', QUEUES, ARGV[q + 1])
  end
end
return 0
