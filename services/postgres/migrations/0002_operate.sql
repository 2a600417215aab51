-- +goose Up

-- A revoked token stays known, so that one which is still in a file of the server does not come back at its next start.
ALTER TABLE tokens ADD COLUMN revoked_at timestamptz;

-- Who pushed the state version or rolled back to it; empty where a run wrote it.
ALTER TABLE state_versions ADD COLUMN created_by text NOT NULL DEFAULT '';
