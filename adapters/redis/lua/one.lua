-- Publishes one message that is ready at once and reserves no key: enqueue.lua for those who enqueue one task at a time. ARGV: time, id,
-- value, its place (MaxPriority - priority), the queue's name. Returns 1, and has written no task, if something is known of the id or comes before it. Each
-- call counts here: there is no other work.
local id = ARGV[2]
local n = call('EXISTS', SEEN, WATCHED, ready(1), ready(1), ready(1)) -- a key counts as often as it is named
if call('EXISTS', inbox(1)) == 1 then return 1 end
local quiet, some = n < 3, n % 3 > 0
if some and call('ZSCORE', SEEN, id) or call('HEXISTS', RESULTS, id) == 1 then return 1 end
local rank = ARGV[4] * LANE + call('HINCRBY', META, 'seq', '1')
if call('HSETNX', BODIES, id, pack('<ddd', 0, NOW, rank) .. ARGV[3]) == 0 then return 1 end
call('ZADD', RECENT, NOWS, id)
call('ZADD', ready(1), int(rank), id)
-- Where something is ready the bell has been rung, and will be by who leaves anything.
if quiet then
  call('SADD', QUEUES, ARGV[5])
  ring(1)
end
if some then tell({ id }) end
return 0
