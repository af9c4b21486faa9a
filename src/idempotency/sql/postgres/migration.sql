-- The table of keys of tower-conditional, schema version 1, for PostgreSQL.
-- It may be run again, and by many at once: whoever comes second finds everything there.
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(hashtextextended('tower-conditional {table}', 0));

-- Every attempt draws two numbers: its token, and one in reserve. A sequence never goes back, so none
-- is used twice, not even for a key that was forgotten. It starts at the clock, in microseconds, so
-- that a table made anew does not start over either.
CREATE SEQUENCE IF NOT EXISTS {sequence} AS bigint INCREMENT BY 2;

-- One row.
CREATE TABLE IF NOT EXISTS {meta} (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version bigint  NOT NULL
);

-- One row for each key, until it is pruned after its time to live. Deleting a row makes the next
-- retry a new request.
CREATE TABLE IF NOT EXISTS {table} (
    scope       text        NOT NULL, -- whose key it is
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL, -- SHA-256 of the request
    token       bigint      NOT NULL, -- of the last attempt
    turn        bigint      NOT NULL, -- what a take-over must name: the token, or, once it is
                                      -- completed, the token + 1
    lease_ends  timestamptz NOT NULL, -- without a status: in flight until then, in doubt afterwards
    forget_at   timestamptz NOT NULL, -- counts as absent from then on
    status      bigint,               -- of the answer; null: there is none yet
    headers     bytea,                -- its fields, `name: value`, a line each
    content     bytea,                -- null: not kept
    PRIMARY KEY (scope, key)
);

-- For those who prune.
CREATE INDEX IF NOT EXISTS {forget_at} ON {table} (forget_at);

INSERT INTO {meta} (schema_version)
SELECT 1
FROM setval('{sequence}', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
WHERE NOT EXISTS (SELECT FROM {meta});
COMMIT;
