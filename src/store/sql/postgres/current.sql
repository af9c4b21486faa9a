-- Reads what is known of the resource $1.
WITH seen AS (
{seen}
)
SELECT
    false, state, version, (extract(epoch FROM modified) * 1000000)::bigint, token,
    CASE WHEN held THEN (extract(epoch FROM claim_ends - now()) * 1000)::bigint END, claim_deletes
FROM seen
