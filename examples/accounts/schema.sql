-- One row for each account that ever was: a deleted one keeps its version, so that a later life of
-- its id goes on above, and no tag is given out twice.
CREATE TABLE accounts (
    id       text   NOT NULL PRIMARY KEY,
    version  bigint NOT NULL, -- one more with each change
    modified bigint NOT NULL, -- when that was: milliseconds since 1970
    body     text             -- JSON; NULL while there is no such account
);

CREATE TABLE settings (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);
