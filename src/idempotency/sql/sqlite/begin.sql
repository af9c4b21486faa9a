-- Starts an attempt at the key ?2 of the scope ?1, for the request ?3, with a lease of ?4 and a time
-- to live of ?5 milliseconds, if the key is absent, or if its turn is ?6 and its attempt is over. No
-- row: it is not so. It takes the lock for writing before it reads, so nothing comes in between.
INSERT INTO {table} (scope, key, fingerprint, token, turn, lease_ends, forget_at)
SELECT ?1, ?2, ?3, next, next, {now} + ?4, {now} + ?4 + ?5
FROM {meta}
WHERE NOT EXISTS (
    SELECT 1 FROM {table}
    WHERE scope = ?1 AND key = ?2 AND forget_at > {now} AND (
        (status IS NULL AND lease_ends > {now}) OR fingerprint <> ?3 OR turn IS NOT ?6
    )
)
ON CONFLICT (scope, key) DO UPDATE SET
    fingerprint = excluded.fingerprint,
    token = excluded.token,
    turn = excluded.turn,
    lease_ends = excluded.lease_ends,
    forget_at = excluded.forget_at,
    status = NULL,
    headers = NULL,
    content = NULL
RETURNING 1, 1, token, NULL, NULL, NULL, NULL
