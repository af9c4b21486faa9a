#!lua
-- Shared by both scripts of the store of keys: reads the row of one key.
-- The line above makes the server (7 or later) refuse the whole script, before it has read
-- anything, on a replica, when out of memory, and when too few replicas are connected.
--
-- KEYS[1]  the row: one hash holds all there is to know of a key
-- ARGV[1]… what the script wants
--
-- Fields of a row: token (of the last attempt), and, unless it did nothing: fingerprint, turn (what a
-- take-over must name: the token, or, once it is completed, the token + 1), lease
-- (its end, in microseconds since 1970), and, when it is done: status, headers, content (if kept).
local key = KEYS[1]

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local stored = redis.call('HMGET', key, 'token', 'fingerprint', 'turn', 'lease', 'status')
local row = {
  token = tonumber(stored[1] or 0),
  fingerprint = stored[2],
  turn = stored[3],
  lease = tonumber(stored[4] or 0),
  status = stored[5],
}
local in_flight = row.fingerprint and not row.status and row.lease > now

-- Microseconds need 51 bits, twice as many 52: a plain tostring would round them.
local function digits(number)
  return string.format('%.0f', number)
end
