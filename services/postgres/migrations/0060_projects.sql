-- +goose Up

-- Attributes of TFE that are kept for its clients, by TFE's names. See kept.go.
ALTER TABLE organizations
    ADD COLUMN email text NOT NULL DEFAULT '',
    ADD COLUMN kept  jsonb NOT NULL DEFAULT '{}';

-- A group of workspaces. Every organization has a default one; a workspace without a project is in that.
CREATE TABLE projects (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name            text NOT NULL,
    description     text NOT NULL DEFAULT '',
    tags            jsonb NOT NULL DEFAULT '{}',
    kept            jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX projects_name ON projects (organization_id, lower(name));

ALTER TABLE workspaces
    ADD COLUMN project_id text REFERENCES projects (id),
    ADD COLUMN kept       jsonb NOT NULL DEFAULT '{}';
CREATE INDEX workspaces_project ON workspaces (project_id) WHERE project_id IS NOT NULL;

CREATE TABLE variable_set_projects (
    set_id     text NOT NULL REFERENCES variable_sets (id) ON DELETE CASCADE,
    project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (set_id, project_id)
);
CREATE INDEX variable_set_projects_project ON variable_set_projects (project_id);
