-- GCRA: each request moves its key's theoretical arrival time on by one interval; it is refused where that would run
-- ahead of the clock by more than the window. All keys or none: a refused request costs nothing anywhere.
-- KEYS: one per quota. ARGV: for each, the interval and the window in microseconds.
-- Returns for each: microseconds to wait (0 where it may go on), until all is free again, and how many more may follow.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrivals, standing, refused = {}, {}, false
for i, key in ipairs(KEYS) do
  local interval, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local known = tonumber(redis.call('GET', key) or now)
  -- Never further ahead than the window: a clock that was set back must not shut anybody out.
  if known > now + window then
    known = now + window
    redis.call('SET', key, string.format('%.0f', known), 'PX', math.ceil(window / 1000))
  end
  local arrival = math.max(known, now) + interval
  local wait = math.max(0, arrival - window - now)
  arrivals[i] = arrival
  if wait > 0 then refused = true end
  standing[i] = { wait, arrival - now, interval, window }
end
local answer = {}
for i, key in ipairs(KEYS) do
  local wait, ahead, interval, window = unpack(standing[i])
  if refused then
    ahead = ahead - interval
  else
    redis.call('SET', key, string.format('%.0f', arrivals[i]), 'PX', math.ceil(ahead / 1000))
  end
  answer[#answer + 1] = math.ceil(wait)
  answer[#answer + 1] = math.ceil(ahead)
  answer[#answer + 1] = math.max(0, math.floor((window - ahead) / interval))
end
return answer
