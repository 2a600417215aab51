-- +goose Up

-- What the workers of a pool last said about themselves: why a queued run waits.
CREATE TABLE workers (
    pool_id  text NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
    name     text NOT NULL,
    slots    int NOT NULL,
    busy     int NOT NULL,
    refusing text NOT NULL DEFAULT '',
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (pool_id, name)
);
