-- +goose Up
-- A result is folded in the transaction that stores it, so none is ever pending.
DROP INDEX results_pending;
ALTER TABLE results DROP COLUMN projected;
