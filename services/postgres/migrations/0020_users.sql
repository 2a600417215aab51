-- +goose Up

-- People. A deleted user's row stays, so that nobody else takes the name that stands in the history of runs.
CREATE TABLE users (
    id         text PRIMARY KEY,
    username   text NOT NULL,
    email      text,
    password   text NOT NULL DEFAULT '', -- argon2id; empty: cannot log in by password
    site_admin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX users_username ON users (lower(username));
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE memberships (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    user_id         text NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role            text NOT NULL, -- read, plan, write, admin
    created_at      timestamptz NOT NULL,
    UNIQUE (organization_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

-- Tokens of kind user belong to a user, those of kind organization to an organization, in which they have a role.
ALTER TABLE tokens ADD COLUMN IF NOT EXISTS user_id text REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN IF NOT EXISTS organization_id text REFERENCES organizations (id) ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN IF NOT EXISTS role text NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN IF NOT EXISTS created_by text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS tokens_user ON tokens (user_id);
CREATE INDEX IF NOT EXISTS tokens_organization ON tokens (organization_id);

-- A session is begun with a token or with a password.
ALTER TABLE sessions ALTER COLUMN token_id DROP NOT NULL;
ALTER TABLE sessions ADD COLUMN user_id text REFERENCES users (id) ON DELETE CASCADE;

-- Logins that were tried of late, by what is limited: a name or an address.
CREATE TABLE login_attempts (
    subject text NOT NULL,
    at      timestamptz NOT NULL
);
CREATE INDEX login_attempts_subject ON login_attempts (subject, at);

-- Codes of OAuth, as SHA-256 only: each is exchanged for a token once.
CREATE TABLE oauth_codes (
    hash         bytea PRIMARY KEY,
    session_hash bytea NOT NULL REFERENCES sessions (hash) ON DELETE CASCADE,
    challenge    text NOT NULL,
    redirect_uri text NOT NULL,
    expires_at   timestamptz NOT NULL
);
