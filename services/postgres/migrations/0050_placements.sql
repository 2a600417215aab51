-- +goose Up

-- Claimed attempts whose worker is still making a place for them, such as a Pod that waits for a node. Nothing of a run's history is here:
-- what is lost is said again within seconds.
CREATE TABLE placements (
    attempt_id text PRIMARY KEY,
    until      timestamptz NOT NULL,
    reason     text NOT NULL DEFAULT ''
);
