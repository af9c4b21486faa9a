-- Starts an attempt at the key $2 of the scope $1, for the request $3, with a lease of $4 and a time
-- to live of $5 milliseconds, if the key is absent, or if its turn is $6 and its attempt is over. One
-- row: the attempt, or, if there is none, what was seen. No row: the key was absent when it was looked
-- at, and somebody else was faster.
WITH seen AS MATERIALIZED (
    -- now() is not later than the snapshot that is looked at.
    SELECT
        fingerprint = $3 AS same, turn, status, headers, content, lease_ends,
        status IS NULL AND lease_ends > now() AS in_flight
    FROM {table}
    WHERE scope = $1 AND key = $2 AND forget_at > now()
), taken AS (
    INSERT INTO {table} AS was (scope, key, fingerprint, token, turn, lease_ends, forget_at)
    SELECT
        $1, $2, $3, drawn.token, drawn.token,
        clock_timestamp() + $4::bigint * interval '1 millisecond',
        clock_timestamp() + ($4::bigint + $5::bigint) * interval '1 millisecond'
    FROM (SELECT nextval('{sequence}') AS token) AS drawn
    WHERE NOT EXISTS (SELECT FROM seen WHERE in_flight OR NOT same OR turn IS DISTINCT FROM $6)
    ON CONFLICT (scope, key) DO UPDATE SET
        fingerprint = excluded.fingerprint,
        token = excluded.token,
        turn = excluded.turn,
        lease_ends = excluded.lease_ends,
        forget_at = excluded.forget_at,
        status = NULL,
        headers = NULL,
        content = NULL
    -- Only if it is over, or still what was seen: what was in doubt may be done by now.
    WHERE was.forget_at <= clock_timestamp()
        OR EXISTS (
            SELECT FROM seen
            WHERE seen.turn = was.turn AND seen.status IS NOT DISTINCT FROM was.status
        )
    RETURNING token
)
SELECT
    true, true, token, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bytea
FROM taken
UNION ALL
SELECT
    false, same, turn,
    CASE WHEN in_flight THEN (extract(epoch FROM lease_ends - now()) * 1000)::bigint END,
    status, CASE WHEN same THEN headers END, CASE WHEN same THEN content END
FROM seen WHERE NOT EXISTS (SELECT FROM taken)
