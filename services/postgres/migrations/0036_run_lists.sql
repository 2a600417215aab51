-- +goose NO TRANSACTION
-- +goose Up

-- Runs that are over by what became of them, in the order of a list: the few errored ones among a million that were applied.
-- An index that could not be finished is there all the same, and of no use: so each is begun anew.
DROP INDEX CONCURRENTLY IF EXISTS runs_over;
CREATE INDEX CONCURRENTLY runs_over ON runs (organization_id, status, position)
    WHERE status IN ('applied', 'planned_and_finished', 'discarded', 'errored', 'canceled', 'force_canceled');

-- Runs with an unknown outcome.
DROP INDEX CONCURRENTLY IF EXISTS runs_lost;
CREATE INDEX CONCURRENTLY runs_lost ON runs (workspace_id) WHERE holds AND status = 'errored';
