-- Makes firing groups fired. ARGV: time, ids.
for i = 2, #ARGV do
  local g = group(ARGV[i])
  if g and g.state == FIRING then
    g.state = FIRED
    writeGroup(g)
  end
end
return 0
