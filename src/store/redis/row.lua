#!lua
-- Shared by all scripts of the store: reads the row of one resource and ends what has run out.
-- The line above makes the server (7 or later) refuse the whole script, before it has read
-- anything, on a replica, when out of memory, and when too few replicas are connected.
--
-- KEYS[1]  the row: one string holds all there is to know of a resource, so that it cannot be torn
--          apart by a cluster's slots. A hash would be nicer to look at, and take twice as long
-- ARGV[1]  a version that nobody has ever used; every call brings its own
-- ARGV[2]  milliseconds after which an untouched row may go, 0 for never; a claim adds its lease, so
--          that its row never goes before that is over
-- ARGV[3]  the era of this server if the caller asked it a moment ago, else empty
-- ARGV[4]… what the script wants besides
--
-- The words of a row: era, state (absent, present, unseen), version, modified, token, expires (of
-- the open claim, 0 without one), intent (of its holder), saved. Times are microseconds since 1970.
local key, fresh, idle, era = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

-- A server gets a new replication id when it starts and when it is promoted: the two events after
-- which it may have forgotten writes that it had acknowledged.
if era == '' then
  era = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  if not era then
    return redis.error_reply('ERR this server does not tell its replication id')
  end
end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local stored = redis.call('GET', key)
local row_era, state, version, modified = era, 'unseen', fresh, 0
local token, expires, intent = '0', 0, 'write'
local changed = true
if stored then
  local saved
  row_era, state, version, modified, token, expires, intent, saved = string.match(
    stored, '^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$')
  if not saved then
    return redis.error_reply('ERR this row is none of ours')
  end
  modified, expires = tonumber(modified), tonumber(expires)
  -- A read renews an idle row at half time, so that most reads write nothing; a row that is claimed
  -- stays as long as its claim asked for.
  changed = idle ~= '0' and expires == 0 and now - saved > idle * 500
end

-- Nobody knows what is there now: it counts as something new, which may or may not exist.
local function doubt()
  row_era, state, version, modified, expires = era, 'unseen', fresh, now, 0
  changed = true
end

if expires ~= 0 then
  if expires <= now then
    -- The lease is over, and the holder never said what it did.
    doubt()
  end
  -- An open claim is left alone in a later era: it ends in a fresh version anyhow.
elseif row_era ~= era then
  -- Written in an earlier era: later writes may be lost, and then this version is not current.
  doubt()
end

-- What the caller is told: a verdict, the time, and the row. What was changed is written here: the
-- only write of a script, and its last step. Whatever fails before has changed nothing.
local function answer(verdict)
  if changed then
    -- Microseconds need 51 bits: a plain tostring would round them.
    stored = string.format('%s %s %s %.0f %s %.0f %s %.0f',
      row_era, state, version, modified, token, expires, intent, now)
    if idle == '0' then
      redis.call('SET', key, stored)
    else
      redis.call('SET', key, stored, 'PX', idle)
    end
  end
  return verdict .. ' ' .. era .. ' ' .. clock[1] .. ' ' .. clock[2] .. ' ' .. stored
end
