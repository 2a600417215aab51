-- +goose NO TRANSACTION
-- +goose Up

-- Logs that were not removed for their age, in the order in which they come to be.
DROP INDEX CONCURRENTLY IF EXISTS logs_kept;
CREATE INDEX CONCURRENTLY logs_kept ON logs (COALESCE(printed_at, '-infinity')) WHERE complete AND NOT removed;
