-- Takes the claim if nobody holds it and the condition may hold.
--
-- ARGV[4]  microseconds of the lease
-- ARGV[5]  what the holder is about to do: delete, write
-- ARGV[6]  the condition: absent, any_of, exists, none_of, unconditional
-- ARGV[7]… the versions that it names
if row.expires ~= 0 then
  return answer('busy')
end

local among = false
for index = 7, #ARGV do
  among = among or ARGV[index] == row.version
end
-- The version of a tombstone is known to nobody, so that it can be named by nobody.
local exists = row.state ~= 'absent'
local may_hold = {
  absent = row.state ~= 'present',
  any_of = exists and among,
  exists = exists,
  none_of = not (exists and among),
  unconditional = true,
}
if not may_hold[ARGV[6]] then
  return answer('failed')
end

-- Fed by the clock, so that tokens go on rising when a row was pruned or lost.
row.token = math.max(row.token + 1, now)
row.expires = now + tonumber(ARGV[4])
row.intent = ARGV[5]
changed = true
return answer('granted')
