-- Moves dead letters back to their queues. ARGV: time, whether it is a dry run, and for each letter: the message's three values,
-- serial, created, replays. Returns for each an empty string, '!' when its id is live, '?' when the letter is gone, or '=' and who holds its key.
local dry, out = ARGV[2] == '1', {}
for i = 3, #ARGV, 6 do
  local head, id, rest, serial, created, replays = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local d = call('HGET', DEAD, id)
  local answer = ''
  if not d or unpk('<d', d) ~= tonumber(serial) then
    answer = '?'
  elseif call('HEXISTS', BODIES, id) == 1 then
    answer = '!'
  else
    local _, _, floor, _, _, flags, _, p = unpk('<dddddBH', head)
    if has(flags, UNIQUE) then answer = holder((uniqueOf(sub(head, p)))) or '' end
    if answer ~= '' then answer = '=' .. answer end
    if answer == '' and not dry then
      unbury(id)
      forget(id)
      call('ZREM', SEEN, id)
      insert(head, id, rest, rise(floor), tonumber(created), tonumber(replays))
    end
  end
  out[#out + 1] = answer
end
done()
return out
