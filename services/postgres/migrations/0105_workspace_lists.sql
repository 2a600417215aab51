-- +goose Up

-- What a name can be found by: each of its parts of up to three characters, in small letters. Postgres' own index of such parts
-- (pg_trgm) is an extension, which whoever gives us a database may not have or not let us create.
-- Parts are made when a workspace is created or renamed, and not when its row changes otherwise.
CREATE FUNCTION name_parts(name text) RETURNS text[] IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql AS $$
    SELECT array_agg(DISTINCT substr(lower(name), at, size)) FROM generate_series(1, length(name)) AS at, generate_series(1, 3) AS size
$$;

-- This writes the table anew: a second for 10,000 workspaces.
ALTER TABLE workspaces ADD COLUMN name_parts text[] GENERATED ALWAYS AS (name_parts(name)) STORED;
CREATE INDEX workspaces_name_parts ON workspaces USING gin (name_parts);

-- The few workspaces that a person has locked.
CREATE INDEX workspaces_locked ON workspaces (id) WHERE locked;

-- Tags and required labels, by which workspaces are found too.
CREATE INDEX workspaces_tags ON workspaces USING gin (tags);
CREATE INDEX workspaces_labels ON workspaces USING gin ((execution -> 'required_labels'));
