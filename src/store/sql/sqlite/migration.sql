-- The table of tower-conditional, schema version 1, for SQLite 3.35 or newer.
-- It may be run again, and by many at once: whoever comes second finds everything there.
BEGIN IMMEDIATE;

-- One row. A resource without a row of its own has the version `baseline`. `next` is the number
-- that is drawn next; it never goes back, so none is used twice. It starts at the clock, in
-- microseconds, so that a table made anew does not start over either.
CREATE TABLE IF NOT EXISTS {meta} (
    only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema_version INTEGER NOT NULL,
    baseline       INTEGER NOT NULL,
    next           INTEGER NOT NULL
);

-- One row for each resource that was ever claimed, until it is pruned. Times are in milliseconds
-- since 1970.
CREATE TABLE IF NOT EXISTS {table} (
    key           TEXT    NOT NULL PRIMARY KEY, -- the resource
    state         TEXT    NOT NULL CHECK (state IN ('absent', 'present', 'unseen')),
    version       INTEGER NOT NULL, -- of what is there; of no meaning when absent
    modified      INTEGER,          -- when it got that version
    token         INTEGER NOT NULL, -- of the last claim
    claim_ends    INTEGER,          -- null: nobody holds a claim; past: nobody knows what the
                                    -- holder did, and `token` is the version now
    claim_deletes INTEGER NOT NULL, -- is the last claim there to delete the resource?
    claimed_at    INTEGER NOT NULL  -- when the last claim was taken
) WITHOUT ROWID;

-- Every claim draws two numbers: its token, which is the resource's version if nobody settles the
-- claim, and the next, its version if the claim is settled as a write.
CREATE TRIGGER IF NOT EXISTS {table:first_claim} AFTER INSERT ON {table:bare} BEGIN
    UPDATE {meta:bare} SET next = next + 2;
END;
CREATE TRIGGER IF NOT EXISTS {table:next_claim} AFTER UPDATE OF token ON {table:bare} BEGIN
    UPDATE {meta:bare} SET next = next + 2;
END;

-- Who deletes a row gives all resources without a row a version that none of them had; unless the
-- row said no more than that there is none.
CREATE TRIGGER IF NOT EXISTS {table:raise} AFTER DELETE ON {table:bare}
WHEN old.state <> 'unseen' OR old.version <> (SELECT baseline FROM {meta:bare}) BEGIN
    UPDATE {meta:bare} SET baseline = next, next = next + 2;
END;

INSERT INTO {meta} (only_row, schema_version, baseline, next)
SELECT 1, 1, {now} * 1000, {now} * 1000 + 2
WHERE NOT EXISTS (SELECT 1 FROM {meta});
COMMIT;
