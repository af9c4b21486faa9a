-- Completes the attempt ?3 at the key ?2 of the scope ?1 with the status ?4, the fields ?5 and the
-- content ?6, to be kept for ?7 milliseconds. No row: it is no longer the last one. The turn moves on
-- if somebody may have seen it in doubt by the time this is committed; ?8 says that it may take a
-- while.
UPDATE {table} SET
    turn = CASE WHEN status IS NULL AND (?8 OR lease_ends <= {now}) THEN token + 1 ELSE turn END,
    status = ?4,
    headers = ?5,
    content = ?6,
    forget_at = {now} + ?7
WHERE scope = ?1 AND key = ?2 AND token = ?3 AND forget_at > {now}
RETURNING 1
