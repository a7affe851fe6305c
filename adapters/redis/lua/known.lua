-- known says whether anything is known of one of the ids ARGV[first] to ARGV[last]. Where nothing is remembered or watched it costs less.
local some = call('EXISTS', SEEN, WATCHED) > 0
local function known(first, last)
  for _, key in ipairs({ BODIES, RESULTS }) do
    for _, v in ipairs(call('HMGET', key, unpack(ARGV, first, last))) do
      if v then return true end
    end
  end
  for _, till in ipairs(some and call('ZMSCORE', SEEN, unpack(ARGV, first, last)) or {}) do
    if till then return true end
  end
end
