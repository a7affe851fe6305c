-- Reads live tasks whole. ARGV: time, ids. Returns for each: state, body's value; empty: not live.
local out = {}
for i = 2, #ARGV do
  local t, value = peek(ARGV[i])
  out[#out + 1], out[#out + 2] = t and seal(t) or '', value or ''
end
return out
