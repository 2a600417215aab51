-- +goose Up

-- What people say about a run.
CREATE TABLE run_comments (
    id         text PRIMARY KEY,
    run_id     text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    author     text NOT NULL,
    body       text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX run_comments_run ON run_comments (run_id, created_at);

-- Which workspaces may read a workspace's state.
CREATE TABLE state_consumers (
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    consumer_id  text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    PRIMARY KEY (workspace_id, consumer_id)
);
CREATE INDEX state_consumers_consumer ON state_consumers (consumer_id);

-- An applied run of the source begins a run in the workspace.
CREATE TABLE run_triggers (
    id           text PRIMARY KEY,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    source_id    text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    created_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, source_id)
);
CREATE INDEX run_triggers_source ON run_triggers (source_id);

-- Triggers that went off and whose run is not made yet.
CREATE TABLE triggered_runs (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    source_run   text NOT NULL,
    source_name  text NOT NULL,
    UNIQUE (workspace_id, source_run)
);
