-- Lists records. ARGV: time, lower and upper bound in the index, length of what members have before the field, limit. Returns the
-- time and the values of the range.
local skip, fields = tonumber(ARGV[4]), {}
for _, m in ipairs(call('ZRANGEBYLEX', RECORDINDEX, ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[5])) do
  fields[#fields + 1] = sub(m, skip + 1)
end
if #fields == 0 then return { NOW } end
return { NOW, unpack(call('HMGET', RECORDS, unpack(fields))) }
