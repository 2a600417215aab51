-- +goose Up

-- Values of a plan whose JSON form is stored: whoever shows that hides them in it, so they stay as long as it does. The others go
-- soon after their run's end, see Sweep, which must not look at these each time.
ALTER TABLE attempt_variables ADD COLUMN shown boolean NOT NULL DEFAULT false;
UPDATE attempt_variables v SET shown = true WHERE EXISTS (SELECT 1 FROM blobs b WHERE b.owner = v.run_id AND b.kind = 'plan-json');
CREATE INDEX attempt_variables_swept ON attempt_variables (created_at) WHERE NOT shown;
