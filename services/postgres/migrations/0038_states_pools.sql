-- +goose NO TRANSACTION
-- +goose Up

-- What an attempt wrote.
DROP INDEX CONCURRENTLY IF EXISTS state_versions_attempt;
CREATE INDEX CONCURRENTLY state_versions_attempt ON state_versions (attempt_id) WHERE attempt_id IS NOT NULL;

-- The workspaces whose own document names a pool.
DROP INDEX CONCURRENTLY IF EXISTS workspaces_pool;
CREATE INDEX CONCURRENTLY workspaces_pool ON workspaces ((execution ->> 'agent_pool_id'));
