-- Deletes up to 1000 rows whose last claim was taken more than $1 milliseconds ago, and gives all
-- resources without a row a version that none of them had. A row for each that was deleted.
WITH idle AS MATERIALIZED (
    SELECT key FROM {table}
    WHERE claimed_at <= clock_timestamp() - $1::bigint * interval '1 millisecond'
        AND (claim_ends IS NULL OR claim_ends <= clock_timestamp())
    LIMIT 1000
), raised AS (
    -- First, as a claim does it: locks in one order cannot deadlock.
    UPDATE {meta} SET baseline = nextval('{sequence}') WHERE EXISTS (SELECT FROM idle)
    RETURNING baseline
), gone AS (
    DELETE FROM {table}
    WHERE EXISTS (SELECT FROM raised) AND key IN (SELECT key FROM idle)
        AND claimed_at <= clock_timestamp() - $1::bigint * interval '1 millisecond'
        AND (claim_ends IS NULL OR claim_ends <= clock_timestamp())
    RETURNING 1
)
SELECT 1::bigint FROM gone
