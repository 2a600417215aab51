-- +goose Up

-- A team is some members of an organization, who have a role in workspaces that others there may only look at. The team of the
-- owners is made when somebody looks, and its members are the organization's admins; see teams.go.
CREATE TABLE teams (
    id              text PRIMARY KEY,
    organization_id text NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name            text NOT NULL,
    kept            jsonb NOT NULL DEFAULT '{}', -- what clients of TFE set and Gantry only keeps, by TFE's names
    access          jsonb NOT NULL DEFAULT '{}', -- the same, of TFE's organization-access
    created_at      timestamptz NOT NULL
);
CREATE UNIQUE INDEX teams_name ON teams (organization_id, lower(name));

-- Who is no member of the organization any more is in none of its teams.
CREATE TABLE team_members (
    team_id         text NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    organization_id text NOT NULL,
    user_id         text NOT NULL,
    PRIMARY KEY (team_id, user_id),
    FOREIGN KEY (organization_id, user_id) REFERENCES memberships (organization_id, user_id) ON DELETE CASCADE
);
CREATE INDEX team_members_user ON team_members (user_id, organization_id);

CREATE TABLE team_workspaces (
    id           text PRIMARY KEY,
    team_id      text NOT NULL REFERENCES teams (id) ON DELETE CASCADE,
    workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    role         text NOT NULL, -- read, plan, write, admin
    created_at   timestamptz NOT NULL,
    UNIQUE (workspace_id, team_id)
);
CREATE INDEX team_workspaces_team ON team_workspaces (team_id);

-- Tokens of kind team belong to a team, and to its organization. created_by_id is the user who made a token, or whom TFE's API
-- makes up for the token that did.
ALTER TABLE tokens ADD COLUMN team_id text REFERENCES teams (id) ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN created_by_id text NOT NULL DEFAULT '';
CREATE INDEX tokens_team ON tokens (team_id) WHERE team_id IS NOT NULL;
