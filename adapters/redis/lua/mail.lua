-- What is in an inbox, see inbox.lua: items as those of a page, but the time of one that is offered is negative. letter reads the one that begins
-- at a byte: id, time, lane, where what Go wrote begins, where the next one does, whether it is offered; nil: it is not whole.
local function letter(value, at)
  local ok, time, id, size, begin = pcall(unpk, '<dHc0I', value, at)
  if not ok or size <= 32 or begin + size - 1 > #value then return end
  local n, m = unpk('<HH', value, begin + 28) -- of the tail, and of the queue's name in it
  if m + 2 <= n and 30 + n <= size then return id, math.abs(time), string.byte(value, begin + 25), begin, begin + size, time < 0 end
end
