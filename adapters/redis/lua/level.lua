-- Raises the counter of epochs and versions. ARGV: time, to what at least. Returns what it is.
local n, least = tonumber(call('HGET', META, 'epoch') or 0), tonumber(ARGV[2])
if n >= least then return int(n) end
call('HSET', META, 'epoch', int(least))
return int(least)
