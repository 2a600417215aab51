-- +goose Up

-- What the runner said its whole log is, and whether the stored one is that. Null while nobody knows: the log has not ended, or
-- its runner never said.
ALTER TABLE logs ADD COLUMN sha256 text, ADD COLUMN intact boolean;

