-- +goose Up

-- The organizations whose events somebody may be listening to on NATS, until when, and how far they were told (a Cursor).
CREATE TABLE event_readers (
    organization_id text PRIMARY KEY REFERENCES organizations (id) ON DELETE CASCADE,
    until           timestamptz NOT NULL,
    cursor          text NOT NULL
);
