-- +goose NO TRANSACTION
-- +goose Up

-- runs_waiting_gate and runs_not_over took their place; each is a write more at every change of a run's status.
DROP INDEX CONCURRENTLY IF EXISTS runs_waiting;
DROP INDEX CONCURRENTLY IF EXISTS runs_open;
