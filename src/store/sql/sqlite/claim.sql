-- Takes a claim on the resource ?1 for ?2 milliseconds, to delete it if ?3, provided that nobody
-- holds one and that ?4, with the versions ?5 (a JSON array), is true of it. No row: it was not.
-- It takes the lock for writing before it reads, so nothing comes in between.
WITH seen AS (
{seen}
)
INSERT INTO {table} (key, state, version, modified, token, claim_ends, claim_deletes, claimed_at)
SELECT ?1, state, version, modified, next, {now} + ?2, ?3, {now}
FROM seen
WHERE NOT held AND CASE ?4
    WHEN 'absent' THEN state <> 'present'
    WHEN 'any of' THEN state <> 'absent' AND version IN (SELECT value FROM json_each(?5))
    WHEN 'exists' THEN state <> 'absent'
    WHEN 'none of' THEN state = 'absent' OR version NOT IN (SELECT value FROM json_each(?5))
    ELSE 1
END
ON CONFLICT (key) DO UPDATE SET
    state = excluded.state,
    version = excluded.version,
    modified = excluded.modified,
    token = excluded.token,
    claim_ends = excluded.claim_ends,
    claim_deletes = excluded.claim_deletes,
    claimed_at = excluded.claimed_at
RETURNING 1, state, version, modified * 1000, token, NULL, 0
