-- Starts an attempt, if the key is absent, or if it is its turn that is named and its attempt is over.
--
-- ARGV[1]  the fingerprint of the request
-- ARGV[2]  milliseconds of the lease
-- ARGV[3]  milliseconds of the time to live
-- ARGV[4]  the turn that is taken over, empty if none is
if row.fingerprint then
  if row.fingerprint ~= ARGV[1] then
    return { 'mismatch', '0', 0, 0, '', false }
  end
  if in_flight then
    return { 'in flight', '0', math.ceil((row.lease - now) / 1000), 0, '', false }
  end
  if row.turn ~= ARGV[4] then
    if not row.status then
      return { 'in doubt', row.turn, 0, 0, '', false }
    end
    local answer = redis.call('HMGET', key, 'headers', 'content')
    return { 'done', row.turn, 0, tonumber(row.status), answer[1] or '', answer[2] }
  end
end

-- Fed by the clock, so that tokens go on rising when a row was forgotten or lost.
local token = digits(math.max(row.token + 2, now * 2))
-- These two are the only writes, and what could fail has not failed.
redis.call('DEL', key)
redis.call('HSET', key, 'token', token, 'fingerprint', ARGV[1], 'turn', token,
  'lease', digits(now + tonumber(ARGV[2]) * 1000))
redis.call('PEXPIRE', key, digits(tonumber(ARGV[2]) + tonumber(ARGV[3])))
return { 'started', token, 0, 0, '', false }
