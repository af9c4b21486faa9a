#!lua
-- Shared by all scripts of the store: reads the row of one resource and ends what has run out.
-- The line above makes the server (7 or later) refuse the whole script, before it has read
-- anything, on a replica, when out of memory, and when too few replicas are connected.
--
-- KEYS[1]  the row: one hash holds all there is to know of a resource, so that it cannot be torn
--          apart by a cluster's slots
-- ARGV[1]  a version that nobody has ever used; every call brings its own
-- ARGV[2]  milliseconds after which an untouched row may go, 0 for never
-- ARGV[3]  the era of this server if the caller asked it a moment ago, else empty
-- ARGV[4]… what the script wants besides
--
-- Fields of a row: era, state (absent, present, unseen), version, modified, token, expires (of the
-- open claim, 0 without one), intent (of its holder), saved. Times are microseconds since 1970.
local key, fresh, idle, era = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]

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

local stored = redis.call('HMGET', key,
  'era', 'state', 'version', 'modified', 'token', 'expires', 'intent', 'saved')
local row = {
  era = stored[1] or era,
  state = stored[2] or 'unseen',
  version = stored[3] or fresh,
  modified = tonumber(stored[4] or 0),
  token = tonumber(stored[5] or 0),
  expires = tonumber(stored[6] or 0),
  intent = stored[7] or 'write',
}
-- A read renews an idle row at half time, so that most reads write nothing.
local changed = not stored[3] or (idle ~= 0 and now - tonumber(stored[8] or 0) > idle * 500)

-- Nobody knows what is there now: it counts as something new, which may or may not exist.
local function doubt()
  row.era, row.state, row.version, row.modified, row.expires = era, 'unseen', fresh, now, 0
  changed = true
end

if row.expires ~= 0 and row.expires <= now then
  -- The lease is over, and the holder never said what it did.
  doubt()
elseif row.expires == 0 and row.era ~= era then
  -- Written in an earlier era: later writes may be lost, and then this version is not current.
  -- An open claim is left alone: it ends in a fresh version anyhow.
  doubt()
end

-- Microseconds need 51 bits: a plain tostring would round them.
local function digits(number)
  return string.format('%.0f', number)
end

-- The only writes of a script, and its last step: whatever fails before has changed nothing.
local function save()
  redis.call('HSET', key, 'era', row.era, 'state', row.state, 'version', row.version,
    'modified', digits(row.modified), 'token', digits(row.token),
    'expires', digits(row.expires), 'intent', row.intent, 'saved', digits(now))
  if idle == 0 then
    redis.call('PERSIST', key)
  else
    -- A claim is never pruned before its lease is over.
    local claimed = math.max(0, math.ceil((row.expires - now) / 1000))
    redis.call('PEXPIRE', key, digits(idle + claimed))
  end
end

local function answer(verdict)
  if changed then
    save()
  end
  local remaining = math.max(0, math.ceil((row.expires - now) / 1000))
  return { verdict, era, row.state, row.version, row.modified, row.token, remaining, row.intent }
end
