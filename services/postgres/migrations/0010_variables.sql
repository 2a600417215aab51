-- +goose Up

-- Variables that several workspaces share: those of the organization (global), or those that are listed.
CREATE TABLE variable_sets (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name            text NOT NULL,
    description     text NOT NULL DEFAULT '',
    global          boolean NOT NULL DEFAULT false,
    priority        boolean NOT NULL DEFAULT false, -- wins over what a workspace or a run says
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX variable_sets_name ON variable_sets (organization_id, lower(name));

CREATE TABLE variable_set_workspaces (
    set_id       text NOT NULL REFERENCES variable_sets (id) ON DELETE CASCADE,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    PRIMARY KEY (set_id, workspace_id)
);
CREATE INDEX variable_set_workspaces_workspace ON variable_set_workspaces (workspace_id);

-- Variables of a workspace or of a set; every value is sealed, sensitive or not.
CREATE TABLE variables (
    id           text PRIMARY KEY,
    workspace_id text REFERENCES workspaces (id) ON DELETE CASCADE,
    set_id       text REFERENCES variable_sets (id) ON DELETE CASCADE,
    category     text NOT NULL, -- terraform, env
    key          text NOT NULL,
    sealed       bytea NOT NULL,
    hcl          boolean NOT NULL,
    sensitive    boolean NOT NULL,
    description  text NOT NULL DEFAULT '',
    version_id   text NOT NULL, -- another one after each change
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CHECK ((workspace_id IS NULL) <> (set_id IS NULL))
);
CREATE UNIQUE INDEX variables_of_workspace ON variables (workspace_id, category, key) WHERE workspace_id IS NOT NULL;
CREATE UNIQUE INDEX variables_of_set ON variables (set_id, category, key) WHERE set_id IS NOT NULL;

-- The values an attempt was given, sealed, so that an apply gets those of its plan. No row means none.
CREATE TABLE attempt_variables (
    attempt_id text PRIMARY KEY,
    run_id     text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX attempt_variables_run ON attempt_variables (run_id);
