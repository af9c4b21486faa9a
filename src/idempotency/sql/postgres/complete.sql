-- Completes the attempt $3 at the key $2 of the scope $1 with the status $4, the fields $5 and the
-- content $6, to be kept for $7 milliseconds. No row: it is no longer the last one. The turn moves on:
-- until this is committed somebody may see it in doubt, and must not take over what is done.
UPDATE {table} SET
    turn = token + 1,
    status = $4,
    headers = $5,
    content = $6,
    forget_at = clock_timestamp() + $7::bigint * interval '1 millisecond'
WHERE scope = $1 AND key = $2 AND token = $3 AND forget_at > clock_timestamp()
RETURNING 1::bigint
