-- +goose Up

-- A pool of agents: all workspaces of its organization may use it, or only the chosen ones.
ALTER TABLE pools ADD COLUMN organization_scoped boolean NOT NULL DEFAULT true;
CREATE UNIQUE INDEX pools_name ON pools (organization_id, lower(name)) WHERE organization_id IS NOT NULL;
CREATE TABLE pool_workspaces (
    pool_id      text NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    PRIMARY KEY (pool_id, workspace_id)
);

-- The sets of labels that runs of a pool required: what its agents look for work by.
CREATE TABLE pool_label_sets (
    pool_id text NOT NULL REFERENCES pools (id) ON DELETE CASCADE,
    labels  jsonb NOT NULL, -- sorted
    used_at timestamptz NOT NULL,
    PRIMARY KEY (pool_id, labels)
);

-- What agents, the workers of such a pool, say about themselves.
ALTER TABLE workers
    ADD COLUMN id        text,
    ADD COLUMN labels    jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN version   text NOT NULL DEFAULT '',
    ADD COLUMN address   text NOT NULL DEFAULT '', -- where it calls from
    ADD COLUMN runs      jsonb NOT NULL DEFAULT '[]', -- ids of what it carries out
    ADD COLUMN state     text NOT NULL DEFAULT '', -- draining, exited
    ADD COLUMN instance  text NOT NULL DEFAULT '', -- the process
    ADD COLUMN drain     boolean NOT NULL DEFAULT false, -- asked to finish and end
    ADD COLUMN first_seen_at timestamptz;
CREATE UNIQUE INDEX workers_id ON workers (id) WHERE id IS NOT NULL;
