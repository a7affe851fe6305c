-- Deletes a group of which only the members are gone. ARGV: time, generation, id. Returns whether it was the present one of its id.
local gen, id, present = ARGV[2], ARGV[3], 0
call('HDEL', GROUPDATA, 'm' .. gen .. id, 'c' .. gen .. id)
call('ZREM', EBB, gen .. id)
local v = call('HGET', GROUPS, id)
if v and unpk('<Hc0', v) == gen then
  call('HDEL', GROUPS, id)
  present = 1
end
return present
