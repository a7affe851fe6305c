-- Epochs and record versions rise over the whole namespace, so none is ever used twice, whatever was deleted since. Arrivals are
-- numbered over the whole namespace too.
local E, SEQ
local raised, numbered = false, false
local function counters()
  local c = call('HMGET', META, 'epoch', 'seq')
  E, SEQ = tonumber(c[1] or 0), tonumber(c[2] or 0)
end
local function rise(previous)
  if not E then counters() end
  E, raised = max(E + 1, previous + 1, NOW), true
  return E
end
local function arrival()
  if not SEQ then counters() end
  SEQ, numbered = SEQ + 1, true
  return SEQ
end

-- done writes the counters back; whoever raised one calls it last.
local function done()
  if raised and numbered then
    call('HSET', META, 'epoch', int(E), 'seq', int(SEQ))
  elseif raised then
    call('HSET', META, 'epoch', int(E))
  elseif numbered then
    call('HSET', META, 'seq', int(SEQ))
  end
end
