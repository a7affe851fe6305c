-- Reads what is known of tasks. ARGV: time, ids. Returns the time, and for each: state, message without its body, result; empty: none.
local ids, out = {}, { NOW }
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local states, results = call('HMGET', TASKS, unpack(ids)), call('HMGET', RESULTS, unpack(ids))
for n, id in ipairs(ids) do
  local t, value = peek(id, states[n])
  local s, head = '', ''
  if t then
    local rest = message(value)
    s, head = states[n], sub(rest, 1, 4 + unpk('<I', rest))
    if not s or isShort(s) then s = seal(t) end
  end
  out[#out + 1], out[#out + 2], out[#out + 3] = s, head, results[n] or ''
end
return out
