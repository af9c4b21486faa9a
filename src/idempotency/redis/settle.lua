-- Ends an attempt, unless it is no longer the last one, or is done; what is done may only be completed
-- again.
--
-- ARGV[1]  the token of the attempt
-- ARGV[2]  how it ended: done, in doubt, not run
-- ARGV[3]  milliseconds of the time to live of what is done
-- ARGV[4]  the status, if it is done
-- ARGV[5]  the fields
-- ARGV[6]  the content; left out if it is not kept
local mine = row.fingerprint and digits(row.token) == ARGV[1]
if not mine or (row.status and ARGV[2] ~= 'done') then
  return 'fenced'
end

if ARGV[2] == 'done' then
  -- The turn moves on: who has seen a doubt must not take over what is done.
  redis.call('HSET', key, 'turn', digits(row.token + 1), 'status', ARGV[4], 'headers', ARGV[5])
  if ARGV[6] then
    redis.call('HSET', key, 'content', ARGV[6])
  else
    redis.call('HDEL', key, 'content')
  end
  redis.call('PEXPIRE', key, ARGV[3])
elseif ARGV[2] == 'in doubt' then
  redis.call('HSET', key, 'lease', digits(math.min(row.lease, now)))
else
  -- The token stays, so that the next one is greater wherever the clock goes.
  redis.call('HDEL', key, 'fingerprint', 'turn', 'lease')
end
return 'settled'
