-- Deletes dead letters. ARGV: time, and for each: id, serial. Returns how many were there.
local n = 0
for i = 2, #ARGV, 2 do
  local d = call('HGET', DEAD, ARGV[i])
  if d and unpk('<d', d) == tonumber(ARGV[i + 1]) then
    unbury(ARGV[i])
    n = n + 1
  end
end
return n
