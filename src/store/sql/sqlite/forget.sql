-- Ends the claim ?2 on the resource ?1, which was never written and was left as it was: without a
-- row it is what it is with this one.
DELETE FROM {table}
WHERE key = ?1 AND token = ?2 AND claim_ends > {now}
    AND state = 'unseen' AND version = (SELECT baseline FROM {meta})
RETURNING 1, state, version, NULL, token, NULL, 0
