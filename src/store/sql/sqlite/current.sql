-- Reads what is known of the resource ?1.
WITH seen AS (
{seen}
)
SELECT
    0, state, version, modified * 1000, token, CASE WHEN held THEN claim_ends - {now} END,
    claim_deletes
FROM seen
