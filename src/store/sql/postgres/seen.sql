    -- What is known of the resource $1: always one row. A claim whose lease is over counts as the
    -- write that it may have been. now() is not later than the snapshot that is looked at.
    SELECT
        key IS NOT NULL AS known,
        CASE WHEN key IS NULL OR claim_ends <= now() THEN 'unseen' ELSE state END AS state,
        CASE WHEN key IS NULL THEN baseline WHEN claim_ends <= now() THEN token ELSE version END AS version,
        CASE WHEN claim_ends <= now() THEN claim_ends ELSE modified END AS modified,
        coalesce(token, 0) AS token,
        claim_ends,
        coalesce(claim_ends > now(), false) AS held,
        coalesce(claim_deletes, false) AS claim_deletes
    FROM {meta} LEFT JOIN {table} ON key = $1
