package pastruns

// addWorkspaces copies workspace $1 and its newest configuration version $2 times.
const addWorkspaces = `
	WITH number AS (
		SELECT n, 'ws-' || substr(translate(md5('ws-' || n), '0', 'g'), 1, 16) AS ws, 'cv-' || substr(translate(md5('cv-' || n), '0', 'g'), 1, 16) AS cv
		FROM generate_series(1, $2::int) AS n),
	configurations AS (
		INSERT INTO configuration_versions (id, workspace_id, status, speculative, provisional, auto_queue_runs, source, size, created_at, uploaded_at)
		SELECT cv, ws, c.status, c.speculative, c.provisional, c.auto_queue_runs, c.source, c.size, c.created_at, c.uploaded_at
		FROM number, (SELECT * FROM configuration_versions WHERE workspace_id = $1 ORDER BY created_at DESC LIMIT 1) c)
	INSERT INTO workspaces (id, organization_id, name, auto_apply, execution, epoch, created_at, updated_at)
	SELECT ws, w.organization_id, 'past-' || lpad(n::text, 6, '0'), w.auto_apply, w.execution, w.epoch, w.created_at, w.updated_at
	FROM number, (SELECT * FROM workspaces WHERE id = $1) w`

// makePlaces numbers the workspaces from 0.
const makePlaces = `
	CREATE TEMPORARY TABLE past_places AS
	SELECT (row_number() OVER (ORDER BY w.id) - 1)::int AS n, w.id AS ws, c.id AS cv
	FROM workspaces w JOIN LATERAL (SELECT id FROM configuration_versions WHERE workspace_id = w.id ORDER BY created_at DESC LIMIT 1) c ON true`

// makeSize knows that $1 runs come, in how many workspaces, and that the last run of before has position $2.
const makeSize = `
	CREATE TEMPORARY TABLE past_size AS
	SELECT $1::int AS runs, (SELECT count(*) FROM past_places)::int AS places, $2::bigint AS position`

// makeBatch has the ids of the runs that are added next.
const makeBatch = `
	CREATE TEMPORARY TABLE past_batch (
		n int, run text, task text, attempt text, state text, place int, ws text, cv text, position bigint, at timestamptz)`

// number makes the ids of the runs $1 to $2.
const number = `
	INSERT INTO past_batch
	SELECT g.n, 'run-' || g.id, 'task-' || g.id, 'att-' || g.id, 'sv-' || g.id, g.n / s.places, p.ws, p.cv, s.position + g.n,
	       now() - interval '366 days' + g.n * interval '365 days' / s.runs
	FROM past_size s, (SELECT n, substr(translate(md5(n::text), '0', 'g'), 1, 16) AS id FROM generate_series($1::int, $2::int) AS n) g
	JOIN past_places p ON p.n = g.n % (SELECT places FROM past_size)`

// addRuns copies run $1 with the document $2.
const addRuns = `
	INSERT INTO runs (id, position, organization_id, workspace_id, status, exclusive, holds, seq, doc, created_at, newest)
	SELECT b.run, b.position, r.organization_id, b.ws, r.status, r.exclusive, false, r.seq,
	       format($2, b.run, b.task, b.attempt, b.ws, b.cv, b.position)::jsonb, b.at, NULLIF(b.n + s.places > s.runs, false)
	FROM past_batch b, past_size s, runs r WHERE r.id = $1`

// addEvents copies the events of run $1, which have the texts $2. Transactions of before there was a Gantry made them: whoever reads
// the events of all runs as they come has read these long ago.
const addEvents = `
	INSERT INTO run_events (run_id, seq, xid, organization_id, workspace_id, type, at, event)
	SELECT b.run, e.seq, (3 + b.n::bigint * 600 / s.runs)::text::xid8, e.organization_id, b.ws, e.type, b.at,
	       format(($2::text[])[e.seq], b.run, b.task, b.attempt, b.ws, b.cv, b.position)::jsonb
	FROM past_batch b, past_size s, run_events e WHERE e.run_id = $1`

const addTasks = `
	INSERT INTO tasks (id, run_id, phase, state, pool_id, queued_at)
	SELECT b.task, b.run, t.phase, t.state, t.pool_id, b.at FROM past_batch b, tasks t WHERE t.id = $1`

const addAttempts = `
	INSERT INTO attempts (id, task_id, run_id, epoch, state, claimed_at, start_deadline, started_at, closed_at)
	SELECT b.attempt, b.task, b.run, a.epoch, a.state, b.at, b.at, b.at, b.at FROM past_batch b, attempts a WHERE a.id = $1`

const addLogs = `
	INSERT INTO logs (task_id, run_id, attempt_id, size, complete, packed, printed_at)
	SELECT task, run, attempt, 200, true, true, at FROM past_batch`

const addChunks = `
	INSERT INTO log_chunks (task_id, position, data, packed)
	SELECT task, 0, decode(repeat(md5(task), 6), 'hex'), true FROM past_batch`

// addStates gives every fifth run of a workspace a state version.
const addStates = `
	INSERT INTO state_versions (id, workspace_id, run_id, attempt_id, epoch, serial, lineage, terraform_version, md5, size, sealed, created_at)
	SELECT state, ws, run, attempt, 1, position, 'past', '1.11.4', md5(run), 192, decode(repeat(md5(run), 12), 'hex'), at
	FROM past_batch WHERE place % 5 = 0`
