-- Deletes up to 1000 rows whose last claim was taken more than ?1 milliseconds ago. A row for each
-- that was deleted; the trigger sees to the versions.
DELETE FROM {table}
WHERE key IN (
    SELECT key FROM {table}
    WHERE claimed_at <= {now} - ?1 AND (claim_ends IS NULL OR claim_ends <= {now})
    LIMIT 1000
)
RETURNING 1
