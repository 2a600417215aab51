-- +goose Up

-- A workspace whose runs are the user's own: the platform keeps only its state (TFE's execution mode "local").
ALTER TABLE workspaces ADD COLUMN runs_elsewhere boolean NOT NULL DEFAULT false;

-- Tags by key; a tag without a value has the empty one.
ALTER TABLE workspaces ADD COLUMN tags jsonb NOT NULL DEFAULT '{}';

-- Runs that wait for the gate: to plan, or to apply a plan that was saved.
CREATE INDEX runs_waiting_gate ON runs (workspace_id, position) WHERE status IN ('pending', 'confirmed') AND exclusive;

-- runs_open with the statuses of saved plans.
CREATE INDEX runs_not_over ON runs (organization_id, status, position)
    WHERE status IN ('pending', 'plan_queued', 'planning', 'planned', 'planned_and_saved', 'confirmed', 'apply_queued', 'applying');
