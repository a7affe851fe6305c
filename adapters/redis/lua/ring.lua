-- Who waits for a queue is told to look.
local function ring(q) call('ZADD', bell(q), 0, 'r') end

-- Who watches these tasks is told that something changed.
local watchers
local function tell(ids)
  watchers = watchers or call('ZCARD', WATCHED)
  if watchers == 0 or #ids == 0 then return end
  local scores = call('ZMSCORE', WATCHED, unpack(ids))
  for i, id in ipairs(ids) do
    if scores[i] then call(SAY, WATCHED .. ':' .. id, '') end
  end
end
