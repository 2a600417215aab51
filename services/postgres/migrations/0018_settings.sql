-- +goose Up

-- When the last output of the attempt that may append was stored: what a limit of silence is judged by.
ALTER TABLE logs ADD COLUMN printed_at timestamptz;

-- The few runs that are not over, among the many that are: what the reconciler, the queue and the capacity look at.
CREATE INDEX runs_open ON runs (organization_id, status, position)
    WHERE status IN ('pending', 'plan_queued', 'planning', 'planned', 'apply_queued', 'applying');
