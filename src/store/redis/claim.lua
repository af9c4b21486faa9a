-- Takes the claim if nobody holds it and the condition may hold.
--
-- ARGV[4]  microseconds of the lease
-- ARGV[5]  what the holder is about to do: delete, write
-- ARGV[6]  the condition: absent, any_of, exists, none_of, unconditional
-- ARGV[7]… the versions that it names
if expires ~= 0 then
  return answer('busy')
end

local condition, may_hold = ARGV[6], true
if condition == 'absent' then
  may_hold = state ~= 'present'
elseif condition ~= 'unconditional' then
  -- The version of a tombstone is known to nobody, so that it can be named by nobody.
  local exists, among = state ~= 'absent', false
  for index = 7, #ARGV do
    among = among or ARGV[index] == version
  end
  if condition == 'exists' then
    may_hold = exists
  elseif condition == 'any_of' then
    may_hold = exists and among
  else
    may_hold = not (exists and among)
  end
end
if not may_hold then
  return answer('failed')
end

-- Fed by the clock, so that tokens go on rising when a row was pruned or lost.
token = string.format('%.0f', math.max(token + 1, now))
expires = now + ARGV[4]
intent = ARGV[5]
changed = true
return answer('granted')
