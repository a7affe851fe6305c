-- place gives a page the numbers of its arrivals. Where there is a page of that name the counter was lost, and goes on far behind.
local function place(value, n)
  if not SEQ then counters() end
  if call('HSETNX', PAGES, int(SEQ + 1), value) == 0 then
    SEQ = max(SEQ, math.floor(NOW / 8))
    call('HSET', PAGES, int(SEQ + 1), value)
  end
  local first = SEQ + 1
  SEQ, numbered = SEQ + n, true
  return first
end

-- bind puts a page of new messages behind what is in their queue.
local function bind(q, flags, lane, value, created, ids)
  local n = #ids
  local arrival, bodies = place(value, n), {}
  local name = int(arrival)
  for i, id in ipairs(ids) do bodies[2 * i - 1], bodies[2 * i] = id, name end
  call('HSET', BODIES, unpack(bodies))
  call('HSET', MARKS, name, pack(PAGE, created, flags, lane, n) .. rep(READY, n))
  call('ZADD', RECENT, int(created), partOf(name, 0))
  if n > 1 then call('HINCRBY', SURPLUS, ready(q), n - 1) end
  call('ZADD', ready(q), int(lane * LANE + arrival), partOf(name, n - 1))
end
