-- +goose Up

-- A large blob is in several parts, so that nobody needs many times its size as memory to store or read it. The first part is
-- in its row in blobs, which also counts them.
ALTER TABLE blobs ADD COLUMN parts integer NOT NULL DEFAULT 1;

CREATE TABLE blob_parts (
    owner  text NOT NULL,
    kind   text NOT NULL,
    part   integer NOT NULL, -- 1 is the second
    sealed bytea NOT NULL,
    PRIMARY KEY (owner, kind, part),
    FOREIGN KEY (owner, kind) REFERENCES blobs (owner, kind) ON DELETE CASCADE
);
ALTER TABLE blob_parts ALTER COLUMN sealed SET STORAGE EXTERNAL;
