CREATE TABLE orders (
    seller   text   NOT NULL,
    uuid     text   NOT NULL,
    version  bigint NOT NULL DEFAULT 0,
    -- As text, so that what was sent comes back: jsonb knows no \u0000.
    body     text   NOT NULL CHECK (json_typeof(body::json) = 'object'),
    -- Who made this version, and how. The defaults are for orders that are created in SQL.
    method   text   NOT NULL DEFAULT 'SQL',
    actor    text   NOT NULL DEFAULT 'sql',
    -- The number of the last row in `revisions`, and so the true version. Whoever moves it has said
    -- who he is, in `method` and `actor`; a change that leaves it alone was made in SQL.
    revision bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (seller, uuid)
);

-- One row for each version that any order ever had; it outlives the order, so that no version is
-- used twice.
CREATE TABLE revisions (
    seller     text   NOT NULL,
    uuid       text   NOT NULL,
    version    bigint NOT NULL,
    method     text   NOT NULL,
    actor      text   NOT NULL,
    at         text   NOT NULL DEFAULT
        to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    -- If the order was deleted in this version.
    deleted_by text,
    deleted_at text,
    PRIMARY KEY (seller, uuid, version)
);

CREATE TABLE order_parts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller     text   NOT NULL,
    order_uuid text   NOT NULL,
    kind       text   NOT NULL,
    uuid       text   NOT NULL UNIQUE,
    version    bigint NOT NULL,
    body       text   NOT NULL CHECK (json_typeof(body::json) = 'object'),
    FOREIGN KEY (seller, order_uuid) REFERENCES orders ON DELETE CASCADE
);
CREATE INDEX order_parts_by_order ON order_parts (seller, order_uuid, kind);

-- The id is the milestone's version. It never comes back: sequences do not.
CREATE TABLE milestones (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seller     text NOT NULL,
    order_uuid text NOT NULL,
    name       text NOT NULL,
    body       text NOT NULL,
    UNIQUE (seller, order_uuid, name),
    FOREIGN KEY (seller, order_uuid) REFERENCES orders ON DELETE CASCADE
);

CREATE FUNCTION order_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- Versions go on above those of earlier lives, whatever the new row says.
        SELECT coalesce(max(r.version), 0) + 1 INTO new.version FROM revisions AS r
        WHERE r.seller = new.seller AND r.uuid = new.uuid;
    ELSE
        IF new.seller <> old.seller OR new.uuid <> old.uuid THEN
            RAISE EXCEPTION 'an order keeps its seller and its uuid';
        END IF;
        IF new.revision = old.revision THEN
            new.method := 'SQL';
            new.actor := 'sql';
        END IF;
        -- Also if it tried to set the old one back.
        new.version := old.revision + 1;
    END IF;
    new.revision := new.version;
    RETURN new;
END $$;
CREATE TRIGGER order_moves BEFORE INSERT OR UPDATE ON orders
FOR EACH ROW EXECUTE FUNCTION order_moves();

-- After the fact: an INSERT that finds the order there never gets this far.
CREATE FUNCTION order_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE revisions AS r SET
            deleted_by = 'sql',
            deleted_at =
                to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        WHERE r.seller = old.seller AND r.uuid = old.uuid AND r.version = old.revision;
    ELSE
        INSERT INTO revisions (seller, uuid, version, method, actor)
        VALUES (new.seller, new.uuid, new.revision, new.method, new.actor);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER order_recorded AFTER INSERT OR UPDATE OR DELETE ON orders
FOR EACH ROW EXECUTE FUNCTION order_recorded();

CREATE FUNCTION part_moves() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    new.version := old.version + 1;
    RETURN new;
END $$;
CREATE TRIGGER part_moves BEFORE UPDATE ON order_parts
FOR EACH ROW EXECUTE FUNCTION part_moves();
