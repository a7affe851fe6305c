-- Publishes messages, whatever is known of them. ARGV: time, then two values a message. Returns the numbers of those that it did not
-- publish, each with the id that stands for it.
local out = {}
for i = 2, #ARGV, 2 do
  local stands = publish(ARGV[i], ARGV[i + 1])
  if stands then out[#out + 1], out[#out + 2] = i / 2, stands end
end
done()
return out
