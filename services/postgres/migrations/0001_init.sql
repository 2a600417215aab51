-- +goose Up

-- Facts about the installation itself.
CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE organizations (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    execution  jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX organizations_name ON organizations (lower(name));

-- A pool is where tasks queue. The local pool belongs to no organization.
CREATE TABLE pools (
    id              text PRIMARY KEY,
    number          bigserial NOT NULL UNIQUE,
    organization_id text REFERENCES organizations (id) ON DELETE CASCADE,
    mode            text NOT NULL,
    name            text NOT NULL,
    created_at      timestamptz NOT NULL
);

-- Tokens of people and workers, as SHA-256 only.
CREATE TABLE tokens (
    id          text PRIMARY KEY,
    hash        bytea NOT NULL UNIQUE,
    kind        text NOT NULL, -- admin, pool
    pool_id     text REFERENCES pools (id) ON DELETE CASCADE,
    description text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz
);

CREATE TABLE sessions (
    hash       bytea PRIMARY KEY,
    token_id   text NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
    csrf       text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE workspaces (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organizations (id),
    name            text NOT NULL,
    description     text NOT NULL DEFAULT '',
    auto_apply      boolean NOT NULL DEFAULT false,
    execution       jsonb NOT NULL DEFAULT '{}',
    locked          boolean NOT NULL DEFAULT false, -- by a person
    lock_reason     text NOT NULL DEFAULT '',
    locked_by       text NOT NULL DEFAULT '',
    gate_run_id     text,                           -- the run that may execute exclusively
    epoch           bigint NOT NULL DEFAULT 0,      -- the fencing token: raised at each claim of an exclusive task
    state_id        text,                           -- current state version
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX workspaces_name ON workspaces (organization_id, lower(name));

CREATE TABLE configuration_versions (
    id              text PRIMARY KEY,
    workspace_id    text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    status          text NOT NULL, -- pending, uploaded, errored
    error           text NOT NULL DEFAULT '',
    speculative     boolean NOT NULL,
    provisional     boolean NOT NULL,
    auto_queue_runs boolean NOT NULL,
    source          text NOT NULL,
    size            bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    uploaded_at     timestamptz
);
CREATE INDEX configuration_versions_workspace ON configuration_versions (workspace_id, created_at DESC);

CREATE SEQUENCE run_positions;

-- doc is the fold of the run's events (run.Run); the columns beside it are its index. run_events is the truth.
CREATE TABLE runs (
    id              text PRIMARY KEY,
    position        bigint NOT NULL UNIQUE,
    organization_id text NOT NULL REFERENCES organizations (id),
    workspace_id    text NOT NULL REFERENCES workspaces (id),
    status          text NOT NULL,
    exclusive       boolean NOT NULL,
    holds           boolean NOT NULL, -- not final, or final with an unknown outcome
    seq             bigint NOT NULL,
    doc             jsonb NOT NULL,
    created_at      timestamptz NOT NULL
);
CREATE INDEX runs_workspace ON runs (workspace_id, position DESC);
CREATE INDEX runs_organization ON runs (organization_id, position DESC);
CREATE INDEX runs_waiting ON runs (workspace_id, position) WHERE status = 'pending';

-- Index rows of the tasks and attempts in runs.doc: what the queue and the deadlines are read from.
CREATE TABLE tasks (
    id        text PRIMARY KEY,
    run_id    text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    phase     text NOT NULL,
    state     text NOT NULL,
    pool_id   text NOT NULL,
    queued_at timestamptz NOT NULL
);
CREATE INDEX tasks_run ON tasks (run_id);
CREATE INDEX tasks_queued ON tasks (queued_at) WHERE state = 'queued';

CREATE TABLE attempts (
    id             text PRIMARY KEY,
    task_id        text NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    run_id         text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch          bigint NOT NULL,
    state          text NOT NULL,
    claimed_at     timestamptz NOT NULL,
    start_deadline timestamptz NOT NULL,
    started_at     timestamptz,
    lost_at        timestamptz,
    closed_at      timestamptz
);
CREATE INDEX attempts_open ON attempts (claimed_at) WHERE state <> 'closed';
CREATE INDEX attempts_task ON attempts (task_id);

-- Every change of every run. xid orders commits for readers that follow all runs.
CREATE TABLE run_events (
    run_id          text NOT NULL,
    seq             bigint NOT NULL,
    id              bigserial NOT NULL,
    xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    organization_id text NOT NULL,
    workspace_id    text NOT NULL,
    type            text NOT NULL,
    source_id       text,
    at              timestamptz NOT NULL,
    event           jsonb NOT NULL,
    PRIMARY KEY (run_id, seq)
);
CREATE UNIQUE INDEX run_events_source ON run_events (source_id) WHERE source_id IS NOT NULL;
CREATE INDEX run_events_xid ON run_events (xid);

-- Tokens of attempts, as SHA-256 only. Several may be good at once: claiming again issues another.
CREATE TABLE attempt_tokens (
    hash       bytea PRIMARY KEY,
    attempt_id text NOT NULL,
    run_id     text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX attempt_tokens_run ON attempt_tokens (run_id);

-- Values of run variables, sealed.
CREATE TABLE run_variables (
    run_id text PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    sealed bytea NOT NULL
);

-- Configurations, plans and JSON plans, sealed. owner is a configuration version or a run.
CREATE TABLE blobs (
    owner      text NOT NULL,
    kind       text NOT NULL, -- configuration, plan, plan-json
    size       bigint NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (owner, kind)
);
ALTER TABLE blobs ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Every state version ever written, sealed. superseded ones were written under an epoch that no longer stood: kept aside.
CREATE TABLE state_versions (
    id                text PRIMARY KEY,
    workspace_id      text NOT NULL REFERENCES workspaces (id),
    run_id            text,
    attempt_id        text,
    epoch             bigint NOT NULL,
    serial            bigint NOT NULL,
    lineage           text NOT NULL,
    superseded        boolean NOT NULL DEFAULT false,
    terraform_version text NOT NULL,
    md5               text NOT NULL,
    size              bigint NOT NULL,
    sealed            bytea NOT NULL,
    created_at        timestamptz NOT NULL
);
ALTER TABLE state_versions ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX state_versions_workspace ON state_versions (workspace_id, created_at DESC);

CREATE TABLE results (
    attempt_id  text PRIMARY KEY,
    run_id      text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    doc         jsonb NOT NULL,
    received_at timestamptz NOT NULL,
    projected   boolean NOT NULL DEFAULT false
);
CREATE INDEX results_pending ON results (received_at) WHERE NOT projected;

-- What is still to be sent, in order. Rows are deleted once sent.
CREATE TABLE outbox (
    id         bigserial PRIMARY KEY,
    kind       text NOT NULL, -- task, delete, event, command
    run_id     text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL
);

-- The log of one phase: the logs of its attempts one after the other.
CREATE TABLE logs (
    task_id    text PRIMARY KEY,
    run_id     text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    attempt_id text NOT NULL,             -- the attempt that may append
    base       bigint NOT NULL DEFAULT 0, -- where that attempt's log begins
    size       bigint NOT NULL DEFAULT 0,
    complete   boolean NOT NULL DEFAULT false -- the attempt's log has ended
);
CREATE INDEX logs_open ON logs (task_id) WHERE NOT complete;
CREATE TABLE log_chunks (
    task_id  text NOT NULL REFERENCES logs (task_id) ON DELETE CASCADE,
    position bigint NOT NULL,
    data     bytea NOT NULL,
    PRIMARY KEY (task_id, position)
);

CREATE TABLE idempotency (
    key        text NOT NULL,
    token_id   text NOT NULL,
    request    bytea NOT NULL, -- SHA-256 of method, path and body
    status     int NOT NULL,
    response   bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (token_id, key)
);
