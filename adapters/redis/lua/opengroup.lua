-- Opens a group, a part of its members at a time. ARGV: time, id, generation, TTL, how many members, whether there is a callback,
-- whether this is the last part; data and callback (of the first part); then members.
local id, gen, ttl, members, callback, last = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
call('ZADD', EBB, NOW + ttl, gen .. id)
if ARGV[8] ~= '' then call('HSET', GROUPDATA, 'm' .. gen .. id, ARGV[8]) end
if ARGV[9] ~= '' then call('HSET', GROUPDATA, 'c' .. gen .. id, ARGV[9]) end
local fields = {}
for i = 10, #ARGV do
  fields[#fields + 1], fields[#fields + 2] = gen .. #id .. ':' .. id .. ARGV[i], ''
end
call('HSET', MEMBERS, unpack(fields))
if last then
  local old = call('HGET', GROUPS, id)
  if old then call('ZADD', EBB, 0, unpk('<Hc0', old) .. id) end -- what it counted is for Maintain
  writeGroup({ id = id, gen = gen, members = members, ended = 0, succeeded = 0, ttl = ttl, expires = NOW + ttl, state = OPEN, callback = callback })
end
return 0
