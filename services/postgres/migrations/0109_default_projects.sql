-- +goose Up

-- The workspaces of default projects, to count them: there may be many.
CREATE INDEX workspaces_in_default ON workspaces (organization_id) WHERE project_id IS NULL;
