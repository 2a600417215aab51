-- +goose Up

-- A chunk of an archived log holds up to a MiB of it, compressed and sealed. A removed log has one chunk that says so.
ALTER TABLE log_chunks ADD COLUMN packed boolean NOT NULL DEFAULT false;
ALTER TABLE logs ADD COLUMN packed boolean NOT NULL DEFAULT false;
ALTER TABLE logs ADD COLUMN removed boolean NOT NULL DEFAULT false;
CREATE INDEX logs_to_pack ON logs (task_id) WHERE complete AND NOT packed;

-- What is old enough to go is found by age. The index costs next to nothing where rows come in the order of their age.
CREATE INDEX runs_created ON runs USING brin (created_at);

-- A run takes its attempts, results and logs with it through its tasks, whose ids are indexed; by its own id each deleted run
-- would read those tables from end to end.
ALTER TABLE attempts DROP CONSTRAINT attempts_run_id_fkey;
DELETE FROM results WHERE attempt_id NOT IN (SELECT id FROM attempts);
ALTER TABLE results DROP CONSTRAINT results_run_id_fkey;
ALTER TABLE results ADD CONSTRAINT results_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES attempts (id) ON DELETE CASCADE;
DELETE FROM logs WHERE task_id NOT IN (SELECT id FROM tasks);
ALTER TABLE logs DROP CONSTRAINT logs_run_id_fkey;
ALTER TABLE logs ADD CONSTRAINT logs_task_id_fkey FOREIGN KEY (task_id) REFERENCES tasks (id) ON DELETE CASCADE;
