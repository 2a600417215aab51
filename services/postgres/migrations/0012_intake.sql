-- +goose Up

-- Which run a message asked for, under the key it gave. A row lives as long as its run, so that a message that is delivered
-- again makes no second run, however late it comes.
CREATE TABLE run_requests (
    organization_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    key             text NOT NULL,
    request         bytea NOT NULL, -- SHA-256 of the message
    run_id          text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    PRIMARY KEY (organization_id, key)
);
CREATE INDEX run_requests_run ON run_requests (run_id);
