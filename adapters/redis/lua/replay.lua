-- Moves dead letters back to their queues. ARGV: time, whether it is a dry run, and for each letter: the message's two values,
-- serial, created, replays. Returns for each an empty string, '!' when its id is live, '?' when the letter is gone, or '=' and who holds its key.
local dry, out = ARGV[2] == '1', {}
for i = 3, #ARGV, 5 do
  local id, given, serial, created, replays = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local d = call('HGET', DEAD, id)
  local answer = ''
  if not d or unpk('<d', d) ~= tonumber(serial) then
    answer = '?'
  elseif live(id) then
    answer = '!'
  else
    local _, floor, _, flags, _, _, n, p = unpk(GIVEN, given)
    if has(flags, UNIQUE) then answer = holder((uniqueOf(sub(given, p, p + n - 1)))) or '' end
    if answer ~= '' then answer = '=' .. answer end
    if answer == '' and not dry then
      unbury(id)
      forget(id)
      call('ZREM', SEEN, id)
      insert(id, given, rise(floor), { created = tonumber(created), replays = tonumber(replays) })
    end
  end
  out[#out + 1] = answer
end
done()
return out
