-- Deletes up to $1 rows whose time to live is over. A row for each that was deleted.
DELETE FROM {table}
WHERE forget_at <= clock_timestamp() AND (scope, key) IN (
    SELECT scope, key FROM {table} WHERE forget_at <= clock_timestamp() LIMIT $1
)
RETURNING 1::bigint
