-- Reads the list of what is known from a place on, newest first. ARGV: time, when what is at the place was updated, its id, how many to pass
-- over, limit. Returns ids and when they were updated. When the place is not there any more, it begins with all that were updated at that
-- time.
local score = call('ZSCORE', RECENT, ARGV[3])
if score and tonumber(score) == tonumber(ARGV[2]) then
  local from = call('ZREVRANK', RECENT, ARGV[3]) + 1 + ARGV[4]
  return call('ZREVRANGE', RECENT, int(from), int(from + ARGV[5] - 1), 'WITHSCORES')
end
return call('ZREVRANGEBYSCORE', RECENT, ARGV[2], '-inf', 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
