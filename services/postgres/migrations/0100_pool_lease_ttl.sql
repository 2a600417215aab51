-- +goose Up

-- How long a runner of the pool may be silent before its lease is over; 0: as long as the server says.
ALTER TABLE pools ADD COLUMN lease_ttl_seconds integer NOT NULL DEFAULT 0;
