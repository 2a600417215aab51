-- +goose Up

-- Who outside is told what runs of a workspace do.
CREATE TABLE notification_configurations (
    id           text PRIMARY KEY,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name         text NOT NULL,
    destination  text NOT NULL, -- generic, slack
    enabled      boolean NOT NULL,
    triggers     text[] NOT NULL,
    sealed       bytea NOT NULL, -- the URL and the token
    responses    jsonb NOT NULL DEFAULT '[]', -- what became of the last deliveries, newest first
    failures     int NOT NULL DEFAULT 0, -- of deliveries in a row
    next_at      timestamptz NOT NULL, -- nothing is sent before
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX notification_configurations_workspace ON notification_configurations (workspace_id, created_at);

-- What is still to be sent, in order. Rows are deleted once they were taken, or given up.
CREATE TABLE notifications (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    configuration_id text NOT NULL REFERENCES notification_configurations (id) ON DELETE CASCADE,
    run_id           text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq              bigint NOT NULL, -- of the run's event
    trigger          text NOT NULL,
    run_status       text NOT NULL,
    at               timestamptz NOT NULL,
    actor            text NOT NULL,
    tries            int NOT NULL DEFAULT 0,
    UNIQUE (configuration_id, run_id, seq)
);
CREATE INDEX notifications_run ON notifications (run_id);
