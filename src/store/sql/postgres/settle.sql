-- Ends the claim $2 on the resource $1, unless its lease is over. No row: it was.
UPDATE {table} SET
    state = CASE $3 WHEN 'deleted' THEN 'absent' WHEN 'unchanged' THEN state WHEN 'written' THEN 'present' ELSE 'unseen' END,
    version = CASE $3 WHEN 'unchanged' THEN version ELSE token + 1 END,
    modified = CASE $3 WHEN 'unchanged' THEN modified ELSE clock_timestamp() END,
    claim_ends = NULL
WHERE key = $1 AND token = $2 AND claim_ends > clock_timestamp()
RETURNING
    true, state, version, (extract(epoch FROM modified) * 1000000)::bigint, token,
    NULL::bigint, false
