CREATE TABLE orders (
    seller   TEXT    NOT NULL,
    uuid     TEXT    NOT NULL,
    version  INTEGER NOT NULL DEFAULT 0,
    body     TEXT    NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    -- Who made this version, and how. The defaults are for orders that are created in SQL.
    method   TEXT    NOT NULL DEFAULT 'SQL',
    actor    TEXT    NOT NULL DEFAULT 'sql',
    -- The number of the last row in `revisions`, and so the true version. Whoever moves it has said
    -- who he is, in `method` and `actor`; a change that leaves it alone was made in SQL.
    revision INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (seller, uuid)
);

-- One row for each version that any order ever had; it outlives the order, so that no version is
-- used twice.
CREATE TABLE revisions (
    seller     TEXT    NOT NULL,
    uuid       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    method     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    at         TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    -- If the order was deleted in this version.
    deleted_by TEXT,
    deleted_at TEXT,
    PRIMARY KEY (seller, uuid, version)
);

CREATE TABLE order_parts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    seller     TEXT    NOT NULL,
    order_uuid TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    uuid       TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    body       TEXT    NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object')
);
CREATE INDEX order_parts_by_order ON order_parts (seller, order_uuid, kind);

-- The id is the milestone's version. It never comes back: AUTOINCREMENT.
CREATE TABLE milestones (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    seller     TEXT    NOT NULL,
    order_uuid TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    UNIQUE (seller, order_uuid, name)
);

-- Versions go on above those of earlier lives, whatever the new row says.
CREATE TRIGGER order_created AFTER INSERT ON orders BEGIN
    UPDATE orders SET
        version = (SELECT coalesce(max(r.version), 0) + 1 FROM revisions AS r
                   WHERE r.seller = new.seller AND r.uuid = new.uuid),
        revision = (SELECT coalesce(max(r.version), 0) + 1 FROM revisions AS r
                    WHERE r.seller = new.seller AND r.uuid = new.uuid)
    WHERE seller = new.seller AND uuid = new.uuid;
END;

-- A change in SQL: a new version, also if it tried to set the old one back.
CREATE TRIGGER order_changed_in_sql AFTER UPDATE ON orders WHEN new.revision = old.revision BEGIN
    UPDATE orders SET
        version = old.revision + 1, revision = old.revision + 1, method = 'SQL', actor = 'sql'
    WHERE seller = new.seller AND uuid = new.uuid;
END;

-- Any change, sooner or later.
CREATE TRIGGER order_changed AFTER UPDATE ON orders WHEN new.revision <> old.revision BEGIN
    INSERT INTO revisions (seller, uuid, version, method, actor)
    VALUES (new.seller, new.uuid, new.revision, new.method, new.actor);
END;

CREATE TRIGGER order_renamed BEFORE UPDATE ON orders
WHEN new.seller <> old.seller OR new.uuid <> old.uuid BEGIN
    SELECT raise(ABORT, 'an order keeps its seller and its uuid');
END;

CREATE TRIGGER order_deleted AFTER DELETE ON orders BEGIN
    UPDATE revisions SET
        deleted_by = 'sql', deleted_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    WHERE seller = old.seller AND uuid = old.uuid AND version = old.revision;
    DELETE FROM order_parts WHERE seller = old.seller AND order_uuid = old.uuid;
    DELETE FROM milestones WHERE seller = old.seller AND order_uuid = old.uuid;
END;

CREATE TRIGGER part_changed_in_sql AFTER UPDATE ON order_parts WHEN new.version <= old.version BEGIN
    UPDATE order_parts SET version = old.version + 1 WHERE id = new.id;
END;
