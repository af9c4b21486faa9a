-- Ends a claim, unless its lease has ended it before.
--
-- ARGV[4]  the token of the claim
-- ARGV[5]  the version that was current when it was granted, empty if nothing was there. It fences
--          together with the token: a server that lost the claim could grant the token again if
--          its clock went backwards, but never the version
-- ARGV[6]  what the holder did: deleted, unchanged, unknown, written
local mine = expires ~= 0 and token == ARGV[4] and (ARGV[5] == '' or ARGV[5] == version)
if not mine then
  return answer('fenced')
end

expires = 0
changed = true
local outcome = ARGV[6]
if outcome ~= 'unchanged' then
  row_era, version, modified = era, fresh, now
  state = outcome == 'written' and 'present' or outcome == 'deleted' and 'absent' or 'unseen'
elseif row_era ~= era then
  -- Nothing was changed, but what was there before is in doubt.
  doubt()
end
return answer('done')
