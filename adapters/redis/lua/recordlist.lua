-- Lists records. ARGV: time, lower and upper bound in the index, length of what members have before the field, limit. Returns the
-- time, the last member of the range, and the values of the range; a member of another list, whose name begins like this one's, has none.
local skip, fields, last = tonumber(ARGV[4]), {}, ''
for _, m in ipairs(call('ZRANGEBYLEX', RECORDINDEX, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[5])) do
  fields[#fields + 1], last = sub(m, skip + 1), m
end
if #fields == 0 then return { NOW, last } end
return { NOW, last, unpack(call('HMGET', RECORDS, unpack(fields))) }
