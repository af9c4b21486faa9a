-- Takes a claim on the resource $1 for $2 milliseconds, to delete it if $3, provided that nobody
-- holds one and that $4, with the versions $5, is true of it. One row: what was taken, or, if
-- nothing was, what was seen. What was seen may be claimable: then somebody else was faster.
WITH seen AS MATERIALIZED (
{seen}
), taken AS (
    INSERT INTO {table} AS was
        (key, state, version, modified, token, claim_ends, claim_deletes, claimed_at)
    SELECT
        $1, 'unseen',
        -- The lock keeps the baseline from being raised, by a prune, before this row is there. A
        -- row that was pruned after it was seen must not come back under a version it once had.
        CASE WHEN known THEN drawn.token + 2 ELSE (SELECT baseline FROM {meta} FOR SHARE) END,
        NULL, drawn.token, clock_timestamp() + $2::bigint * interval '1 millisecond', $3,
        clock_timestamp()
    FROM seen CROSS JOIN (SELECT nextval('{sequence}') AS token) AS drawn
    WHERE NOT held AND CASE $4
        WHEN 'absent' THEN state <> 'present'
        WHEN 'any of' THEN state <> 'absent' AND version = ANY ($5)
        WHEN 'exists' THEN state <> 'absent'
        WHEN 'none of' THEN state = 'absent' OR version <> ALL ($5)
        ELSE true
    END
    ON CONFLICT (key) DO UPDATE SET
        (state, version, modified) = (SELECT state, version, modified FROM seen),
        token = excluded.token,
        claim_ends = excluded.claim_ends,
        claim_deletes = excluded.claim_deletes,
        claimed_at = excluded.claimed_at
    -- Only if it is still the row that was seen.
    WHERE was.token = (SELECT token FROM seen)
        AND was.claim_ends IS NOT DISTINCT FROM (SELECT claim_ends FROM seen)
    RETURNING state, version, modified, token
)
SELECT
    true, state, version, (extract(epoch FROM modified) * 1000000)::bigint, token,
    NULL::bigint, false
FROM taken
UNION ALL
SELECT
    false, state, version, (extract(epoch FROM modified) * 1000000)::bigint, token,
    CASE WHEN held THEN (extract(epoch FROM claim_ends - now()) * 1000)::bigint END, claim_deletes
FROM seen WHERE NOT EXISTS (SELECT FROM taken)
