-- Lists tasks that wait in a queue: ready ones, those whose lease is over, and delayed ones. ARGV: time, limit. Returns ids.
local limit, out = tonumber(ARGV[2]), {}
local function add(id) if #out < limit then out[#out + 1] = id end end
for _, member in ipairs(call('ZRANGE', ready(1), 0, int(limit - 1))) do
  local name, last = part(member)
  local p = name and opened(name)
  if not name then add(member) end
  if p then
    for i = call('ZSCORE', ready(1), member) - p.base, last do add((item(p, i))) end
  end
  if #out >= limit then return out end
end
for _, member in ipairs(call('ZRANGEBYSCORE', leased(1), '-inf', NOWS, 'LIMIT', 0, limit)) do
  if not eachOf(member, add) then add(member) end
end
for _, member in ipairs(call('ZRANGE', delayed(1), 0, int(limit - 1))) do add(idOf(member)) end
return out
