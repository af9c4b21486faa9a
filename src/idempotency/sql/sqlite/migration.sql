-- The table of keys of tower-conditional, schema version 1, for SQLite 3.35 or newer.
-- It may be run again, and by many at once: whoever comes second finds everything there.
BEGIN IMMEDIATE;

-- One row. `next` is the token of the next attempt; it never goes back, so none is used twice, not
-- even for a key that was forgotten. It starts at the clock, in microseconds, so that a table made
-- anew does not start over either.
CREATE TABLE IF NOT EXISTS {meta} (
    only_row       INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema_version INTEGER NOT NULL,
    next           INTEGER NOT NULL
);

-- One row for each key, until it is pruned after its time to live. Deleting a row makes the next
-- retry a new request. Times are in milliseconds since 1970.
CREATE TABLE IF NOT EXISTS {table} (
    scope       TEXT    NOT NULL, -- whose key it is
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL, -- SHA-256 of the request
    token       INTEGER NOT NULL, -- of the last attempt
    turn        INTEGER NOT NULL, -- what a take-over must name: the token, or, once it is completed,
                                  -- the token + 1
    lease_ends  INTEGER NOT NULL, -- without a status: in flight until then, in doubt afterwards
    forget_at   INTEGER NOT NULL, -- counts as absent from then on
    status      INTEGER,          -- of the answer; null: there is none yet
    headers     BLOB,             -- its fields, `name: value`, a line each
    content     BLOB,             -- null: not kept
    PRIMARY KEY (scope, key)
);

-- For those who prune.
CREATE INDEX IF NOT EXISTS {forget_at} ON {table:bare} (forget_at);

-- Every attempt draws two numbers: its token, and one in reserve.
CREATE TRIGGER IF NOT EXISTS {table:first_claim} AFTER INSERT ON {table:bare} BEGIN
    UPDATE {meta:bare} SET next = next + 2;
END;
CREATE TRIGGER IF NOT EXISTS {table:next_claim} AFTER UPDATE OF token ON {table:bare} BEGIN
    UPDATE {meta:bare} SET next = next + 2;
END;

INSERT INTO {meta} (only_row, schema_version, next)
SELECT 1, 1, {now} * 1000
WHERE NOT EXISTS (SELECT 1 FROM {meta});
COMMIT;
