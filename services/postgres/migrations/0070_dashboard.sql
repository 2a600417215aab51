-- +goose NO TRANSACTION
-- +goose Up

-- The runs that failed, among the many that did not: what the overview shows.
-- An index that could not be finished is there all the same, and of no use: so each is begun anew.
DROP INDEX CONCURRENTLY IF EXISTS runs_errored;
CREATE INDEX CONCURRENTLY runs_errored ON runs (organization_id, position DESC) WHERE status = 'errored';

-- What people did to runs, among all that happened to them.
DROP INDEX CONCURRENTLY IF EXISTS run_events_by_people;
CREATE INDEX CONCURRENTLY run_events_by_people ON run_events (organization_id, id DESC)
    WHERE type IN ('created', 'confirmed', 'discarded', 'cancel_requested', 'released', 'recovering');
