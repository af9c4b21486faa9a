-- What is known of the key ?2 of the scope ?1, to one who sends the request ?3. No row: nothing.
SELECT
    0, fingerprint = ?3, turn,
    CASE WHEN status IS NULL AND lease_ends > {now} THEN lease_ends - {now} END,
    status,
    CASE WHEN fingerprint = ?3 THEN headers END,
    CASE WHEN fingerprint = ?3 THEN content END
FROM {table}
WHERE scope = ?1 AND key = ?2 AND forget_at > {now}
