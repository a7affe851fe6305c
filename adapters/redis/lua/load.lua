-- Reads what is known of tasks. ARGV: time, ids. Returns the time, in which queues' inboxes those may be of which nothing is known, and for
-- each: state, message without its body, result; empty: none. Those that are left when it has read so many bytes are to be asked for again:
-- others wait for as long as it reads.
local BYTES = 4194304
local ids, out, bytes, missed = {}, { NOW, {} }, 0, false
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local states = call('HMGET', TASKS, unpack(ids))
for n, id in ipairs(ids) do
  if bytes >= BYTES then break end
  local t, value = peek(id, states[n])
  local s, head, result = '', '', call('HGET', RESULTS, id) or ''
  bytes = bytes + #(value or '') + #result
  if t then
    s, head = states[n], headOf(value)
    if not s or isShort(s) then s = seal(t) end
  end
  out[#out + 1], out[#out + 2], out[#out + 3] = s, head, result
  missed = missed or s == '' and result == ''
end
if missed then out[2] = call('SMEMBERS', INBOXES) end
return out
