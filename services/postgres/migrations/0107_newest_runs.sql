-- +goose Up

-- Whether a run is the newest of its workspace, to find workspaces by its status: true for that one, NULL for those before. Runs
-- that an older server creates are true, and stay so until the next one is created by this one.
ALTER TABLE runs ADD COLUMN newest boolean;
ALTER TABLE runs ALTER COLUMN newest SET DEFAULT true;
UPDATE runs SET newest = true WHERE position IN (
    SELECT (SELECT position FROM runs n WHERE n.workspace_id = w.id ORDER BY n.position DESC LIMIT 1) FROM workspaces w);
