-- Reads what is known of tasks. ARGV: time, ids. Returns for each: state, message without its body, result; empty: none.
local ids, out = {}, { NOW }
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local states, results = call('HMGET', TASKS, unpack(ids)), call('HMGET', RESULTS, unpack(ids))
for n, id in ipairs(ids) do
  local v = call('HGET', BODIES, id)
  local s, head = '', ''
  if v then
    local rest = message(v)
    s, head = states[n], sub(rest, 1, 4 + unpk('<I', rest))
    if not s then
      s = seal(arrived(v))
    elseif isShort(s) then
      s = seal(lengthen(s, v))
    end
  end
  out[#out + 1], out[#out + 2], out[#out + 3] = s, head, results[n] or ''
end
return out
