-- +goose Up

-- What people did that is no change of a run: those are in run_events.
CREATE TABLE audit (
    id              bigserial PRIMARY KEY,
    at              timestamptz NOT NULL,
    organization_id text NOT NULL DEFAULT '', -- empty: of the whole installation
    actor           text NOT NULL,
    action          text NOT NULL, -- the call: method and pattern
    summary         text NOT NULL, -- the same for people
    object          text NOT NULL  -- the path that was called
);
CREATE INDEX audit_organization ON audit (organization_id, id DESC);
