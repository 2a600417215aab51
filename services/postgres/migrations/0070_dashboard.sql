-- +goose NO TRANSACTION
-- +goose Up

-- The runs that failed, among the many that did not: what the overview shows.
CREATE INDEX CONCURRENTLY IF NOT EXISTS runs_errored ON runs (organization_id, position DESC) WHERE status = 'errored';

-- What people did to runs, among all that happened to them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS run_events_by_people ON run_events (organization_id, id DESC)
    WHERE type IN ('created', 'confirmed', 'discarded', 'cancel_requested', 'released', 'recovering');
