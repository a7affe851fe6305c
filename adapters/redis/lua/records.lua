-- Writes records of one part. ARGV: time, then the writes. Returns the versions, or nothing when one conflicts.
local n = (#ARGV - 1) / 3
if conflicts(2, n) then return {} end
local out = apply(2, n)
done()
return out
