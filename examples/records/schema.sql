-- Models and records. An id is the server's and never used twice, so what is deleted is gone.
CREATE TABLE resources (
    kind    text   NOT NULL, -- model or record
    id      text   NOT NULL,
    version bigint NOT NULL, -- one more with each change of what a client sees
    body    text   NOT NULL, -- JSON
    claims  text   NOT NULL, -- JSON: who claims what for the fields of a record
    PRIMARY KEY (kind, id)
);
