-- +goose NO TRANSACTION
-- +goose Up

-- An index that could not be finished is there all the same, and of no use: so each is begun anew.
DROP INDEX CONCURRENTLY IF EXISTS runs_newest;
CREATE INDEX CONCURRENTLY runs_newest ON runs (workspace_id) WHERE newest;

DROP INDEX CONCURRENTLY IF EXISTS runs_newest_by_status;
CREATE INDEX CONCURRENTLY runs_newest_by_status ON runs (organization_id, status) WHERE newest;
