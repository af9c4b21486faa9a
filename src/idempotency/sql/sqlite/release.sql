-- Forgets the attempt ?3 at the key ?2 of the scope ?1, which did nothing. No row: it is done, or no
-- longer the last one.
DELETE FROM {table}
WHERE scope = ?1 AND key = ?2 AND token = ?3 AND status IS NULL AND forget_at > {now}
RETURNING 1
