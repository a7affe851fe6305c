-- What is in an inbox, see inbox.lua: items as those of a page, but the time of one that is offered is negative.
local letter, cut
do
  local ITEM, HEAD, LEAST = '<dHc36I', 50, 33 -- ids are as stem.NewID makes them
  local byte = string.byte

  -- letter reads the message that begins at a byte: id, time, lane, where what Go wrote begins, where the next one does, whether it is offered;
  -- nil: it is not whole.
  function letter(value, at)
    local begin = at + HEAD
    if #value < begin + LEAST - 1 then return end
    local time, n, id, size = unpk(ITEM, value, at)
    if n ~= 36 or size < LEAST or begin + size - 1 > #value then return end
    local lane, _, _, tail, tails, name, names = byte(value, begin + 25, begin + 31)
    tail, name = tail + 256 * tails, name + 256 * names -- of the tail, and of the queue's name in it
    if name + 2 > tail or 30 + tail > size then return end
    if time < 0 then return id, -time, lane, begin, begin + size, true end
    return id, time, lane, begin, begin + size, false
  end

  -- cut says whether what there is from a byte on is nothing, or no more than the beginning of a message: as leaf.go sees it.
  function cut(value, at)
    local rest = #value - at + 1
    if rest < 10 then return true end
    local n, more = byte(value, at + 8, at + 9)
    return n == 36 and more == 0 and (rest < HEAD or HEAD + unpk('<I', value, at + 46) > rest)
  end
end
-- queueIn is the name of a queue, as its keys have it.
local function queueIn(q) return sub(inbox(q), #META - 1, -3) end
