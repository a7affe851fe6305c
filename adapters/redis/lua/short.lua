-- A short state is epoch, update, a mark in the place of redeliveries that says whether the id was chosen, and owner: all tasks of a
-- claim have the same.
local SHORT, GENERATEDID, CHOSENID = '<ddHHc0', 65280, 65281
local function shorten(epoch, updated, mark, owner) return pack(SHORT, epoch, updated, mark, #owner, owner) end
local function isShort(s) return string.byte(s, 18) == 255 end
