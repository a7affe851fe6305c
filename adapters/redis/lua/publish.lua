-- Publishes messages, whatever is known of them. ARGV: time, then two values a message. Returns, for each, an empty string: accepted, or
-- whose id stands for it.
local out = {}
for i = 2, #ARGV, 2 do out[i / 2] = publish(ARGV[i], ARGV[i + 1]) or '' end
done()
return out
