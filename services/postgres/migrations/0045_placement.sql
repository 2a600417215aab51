-- +goose Up

-- What a task requires of an agent and how one is chosen: those that wait are counted by it every second.
ALTER TABLE tasks
    ADD COLUMN labels   text NOT NULL DEFAULT '', -- sorted, separated by commas
    ADD COLUMN strategy text NOT NULL DEFAULT '';
