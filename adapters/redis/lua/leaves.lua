-- Lists pages that wait in a queue, as far as they stand first among what is ready. ARGV: time, limit. Returns for each: its name, the number
-- of the first that waits, how many, 0, when they were published, how many the page has.
local out = {}
local found = call('ZRANGE', ready(1), 0, int(ARGV[2] - 1), 'WITHSCORES')
for i = 1, #found, 2 do
  local name, last = part(found[i])
  local p = name and marked(name)
  if p and p.marks and not has(p.flags, SAVED) then
    local first = found[i + 1] - p.base
    out[#out + 1] = { tonumber(name), first, last - first + 1, 0, p.created, p.n }
  end
end
return out
