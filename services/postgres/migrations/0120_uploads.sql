-- +goose NO TRANSACTION
-- +goose Up

-- Large blobs that are being received, to find those that were broken off.
-- An index that could not be finished is there all the same, and of no use: so it is begun anew.
DROP INDEX CONCURRENTLY IF EXISTS blobs_uploads;
CREATE INDEX CONCURRENTLY blobs_uploads ON blobs (created_at) WHERE owner LIKE 'up-%';
