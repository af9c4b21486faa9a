-- Deletes up to ?1 rows whose time to live is over. A row for each that was deleted.
DELETE FROM {table}
WHERE rowid IN (SELECT rowid FROM {table} WHERE forget_at <= {now} LIMIT ?1)
RETURNING 1
