-- Publishes messages that are ready at once and reserve no key. ARGV: time, how many, their ids, all different, their values, and for each
-- run of messages with one place in one queue: numbers and the queue's name. Returns the numbers of those that it did not publish, each
-- with the id that stands for it. What is new goes the short way, see new.lua; else each message goes its own, in its turn.
local out = {}
for i = 1, n do
  local stands = publish(ARGV[2 + i], ARGV[2 + n + i])
  if stands then out[#out + 1], out[#out + 2] = i, stands end
end
done()
return out
