    -- What is known of the resource ?1: always one row. A claim whose lease is over counts as the
    -- write that it may have been.
    SELECT
        CASE WHEN key IS NULL OR claim_ends <= {now} THEN 'unseen' ELSE state END AS state,
        CASE WHEN key IS NULL THEN baseline WHEN claim_ends <= {now} THEN token ELSE version END AS version,
        CASE WHEN claim_ends <= {now} THEN claim_ends ELSE modified END AS modified,
        coalesce(token, 0) AS token,
        claim_ends,
        coalesce(claim_ends > {now}, 0) AS held,
        coalesce(claim_deletes, 0) AS claim_deletes,
        next
    FROM {meta} LEFT JOIN {table} ON key = ?1
