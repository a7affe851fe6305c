-- Reads live tasks whole, in their order, until that is a megabyte or all. ARGV: time, ids. Returns for each that it came to: state,
-- body's value; empty: not live.
local BYTES = 1048576
local out, bytes = {}, 0
for i = 2, #ARGV do
  if bytes >= BYTES then break end
  local t, value = peek(ARGV[i])
  out[#out + 1], out[#out + 2] = t and seal(t) or '', value or ''
  bytes = bytes + #(value or '')
end
return out
