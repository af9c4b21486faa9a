-- The table of tower-conditional, schema version 1, for PostgreSQL.
-- It may be run again, and by many at once: whoever comes second finds everything there.
BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock(hashtextextended('tower-conditional {table}', 0));

-- Every claim draws three numbers: its token, which is the resource's version if nobody settles the
-- claim; the next, its version if the claim is settled as a write; and one in reserve. A sequence
-- never goes back, so none is used twice. It starts at the clock, in microseconds, so that a table
-- made anew does not start over either.
CREATE SEQUENCE IF NOT EXISTS {sequence} AS bigint INCREMENT BY 3;

-- One row. A resource without a row of its own has the version `baseline`.
CREATE TABLE IF NOT EXISTS {meta} (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    schema_version bigint  NOT NULL,
    baseline       bigint  NOT NULL
);

-- One row for each resource that was ever claimed, until it is pruned. Do not delete rows by hand.
CREATE TABLE IF NOT EXISTS {table} (
    key           text        PRIMARY KEY, -- the resource
    state         text        NOT NULL CHECK (state IN ('absent', 'present', 'unseen')),
    version       bigint      NOT NULL,    -- of what is there; of no meaning when absent
    modified      timestamptz,             -- when it got that version
    token         bigint      NOT NULL,    -- of the last claim
    claim_ends    timestamptz,             -- null: nobody holds a claim; past: nobody knows what the
                                           -- holder did, and `token` is the version now
    claim_deletes boolean     NOT NULL,    -- is the last claim there to delete the resource?
    claimed_at    timestamptz NOT NULL     -- when the last claim was taken
) WITH (fillfactor = 70);                  -- room for updates in place: no index column changes

INSERT INTO {meta} (schema_version, baseline)
SELECT 1, setval('{sequence}', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
WHERE NOT EXISTS (SELECT FROM {meta});

-- So that the planner knows of the one row. It thinks of thousands otherwise, and plans each claim
-- anew, which takes longer than the claim.
ANALYZE {meta};
COMMIT;
