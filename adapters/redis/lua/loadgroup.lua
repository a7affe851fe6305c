-- Reads a group. ARGV: time, id. Returns nothing, or state, TTL, expiry, data, callback, and each member's end: 0 is none.
local g = group(ARGV[2])
if not g then return {} end
local data = call('HGET', GROUPDATA, 'm' .. groupData(g)) or ''
local out = { g.state, g.ttl, g.expires, data, callbackOf(g) or '' }
local fields, _, p = {}, unpk('<Ic0', data)
local function read()
  for _, v in ipairs(call('HMGET', MEMBERS, unpack(fields))) do
    local what = 0
    if v and v ~= '' then _, what = unpk('<dB', v) end
    out[#out + 1] = what
  end
  fields = {}
end
while p <= #data do
  local member
  member, p = unpk('<Hc0', data, p)
  fields[#fields + 1] = g.gen .. #g.id .. ':' .. g.id .. member
  if #fields == 1000 then read() end
end
if #fields > 0 then read() end
return out
