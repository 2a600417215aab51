package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gantry.example/client"
	"gantry.example/internal/pgserver"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/test/chaos/history"
)

// records reads everything that the session left. It has its own SQL: what it judges must not be what it asks.
func (in *installation) records(ctx context.Context, c *crowd) (history.History, error) {
	var h history.History
	db, err := sql.Open("postgres", in.pg.DSN(pgserver.Database))
	if err != nil {
		return h, err
	}
	defer db.Close()
	r := reader{in: in, db: db, h: &h}
	for _, u := range c.users {
		h.Accepted = append(h.Accepted, u.accepted...)
		entries, err := readJournal(in.path("journals", u.name))
		if err != nil {
			return h, err
		}
		h.Journal = append(h.Journal, entries...)
	}
	for _, read := range []func(context.Context) error{r.runs, r.events, r.states, r.results, r.logs, r.outbox, r.refold} {
		if err := read(ctx); err != nil {
			return h, err
		}
	}
	return h, nil
}

type reader struct {
	in *installation
	db *sql.DB
	h  *history.History
}

// each calls f with every row's only column, a JSON document.
func each(ctx context.Context, db *sql.DB, query string, f func([]byte) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return err
		}
		if err := f(doc); err != nil {
			return fmt.Errorf("%w in %.300s", err, doc)
		}
	}
	return rows.Err()
}

func (r reader) runs(ctx context.Context) error {
	err := each(ctx, r.db, `
		SELECT jsonb_build_object('ID', id, 'Workspace', workspace_id, 'Status', status, 'Position', position, 'Exclusive', exclusive,
			'Word', doc->>'message', 'OutcomeUnknown', coalesce((doc->>'outcome_unknown')::boolean, false))
		FROM runs ORDER BY position`, func(doc []byte) error {
		var run history.Run
		err := json.Unmarshal(doc, &run)
		r.h.Runs = append(r.h.Runs, run)
		return err
	})
	for i, run := range r.h.Runs {
		if err == nil && !client.Status(run.Status).Final() {
			var waits client.Waiting
			waits, err = r.in.client.Waiting(ctx, run.ID)
			r.h.Runs[i].Waits = waits.Reason
		}
	}
	return err
}

func (r reader) events(ctx context.Context) error {
	return each(ctx, r.db, `
		SELECT jsonb_build_object('Run', run_id, 'Workspace', workspace_id, 'Type', type, 'Seq', seq, 'Source', coalesce(source_id, ''),
			'At', at, 'Phase', event->'data'->>'phase', 'Stage', coalesce(event->'data'->>'stage', ''), 'Outcome', coalesce(event->'data'->>'outcome', ''), 'Task', event->'data'->>'task_id', 'Attempt', event->'data'->>'attempt_id',
			'Epoch', coalesce((event->'data'->>'epoch')::bigint, 0))
		FROM run_events ORDER BY id`, func(doc []byte) error {
		var e history.Event
		err := json.Unmarshal(doc, &e)
		r.h.Events = append(r.h.Events, e)
		return err
	})
}

// states reads the versions, and through the API what is in them.
func (r reader) states(ctx context.Context) error {
	err := each(ctx, r.db, `
		SELECT jsonb_build_object('ID', id, 'Workspace', workspace_id, 'Run', coalesce(run_id, ''), 'Serial', serial, 'Epoch', epoch,
			'Lineage', lineage, 'Superseded', superseded, 'At', created_at)
		FROM state_versions ORDER BY created_at, serial`, func(doc []byte) error {
		var s history.State
		err := json.Unmarshal(doc, &s)
		r.h.States = append(r.h.States, s)
		return err
	})
	for i := range r.h.States {
		if err == nil {
			r.h.States[i].Steps, err = r.steps(ctx, r.h.States[i].ID)
		}
	}
	return err
}

func (r reader) steps(ctx context.Context, id string) ([]history.Step, error) {
	version, err := r.in.client.StateVersion(ctx, id)
	if err != nil {
		return nil, err
	}
	body, err := r.in.client.DownloadState(ctx, version)
	if err != nil {
		return nil, err
	}
	var state struct {
		Resources []struct {
			Name      string `json:"name"`
			Instances []struct {
				Attributes struct {
					Triggers struct {
						Value string `json:"value"`
					} `json:"triggers_replace"`
				} `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(body, &state); err != nil {
		return nil, fmt.Errorf("state %s: %w", id, err)
	}
	var out []history.Step
	for _, resource := range state.Resources {
		for _, instance := range resource.Instances {
			out = append(out, history.Step{Word: instance.Attributes.Triggers.Value, Name: resource.Name})
		}
	}
	return out, nil
}

func (r reader) results(ctx context.Context) error {
	return each(ctx, r.db, `
		SELECT jsonb_build_object('Attempt', attempt_id, 'Run', run_id, 'LogSize', (doc->>'log_size')::bigint, 'LogSHA256', coalesce(doc->>'log_sha256', ''))
		FROM results`, func(doc []byte) error {
		var res history.Result
		err := json.Unmarshal(doc, &res)
		r.h.Results = append(r.h.Results, res)
		return err
	})
}

// logs reads the logs as users do.
func (r reader) logs(ctx context.Context) error {
	type row struct {
		Attempt, Run, Phase string
		Base, End           int64
		Complete            bool
	}
	var rows []row
	err := each(ctx, r.db, `
		SELECT jsonb_build_object('Attempt', l.attempt_id, 'Base', l.base, 'End', l.size, 'Complete', l.complete,
			'Run', t.run_id, 'Phase', t.phase)
		FROM logs l JOIN tasks t ON t.id = l.task_id`, func(doc []byte) error {
		var l row
		err := json.Unmarshal(doc, &l)
		rows = append(rows, l)
		return err
	})
	for _, l := range rows {
		if err != nil {
			return err
		}
		text, err := r.text(ctx, l.Run, l.Phase)
		if err != nil {
			return err
		}
		if int64(text.Len()) < l.Base {
			return fmt.Errorf("log of %s: %d bytes can be read, its attempt begins at %d", l.Attempt, text.Len(), l.Base)
		}
		own := text.Bytes()[max(l.Base, 0):]
		if l.Complete { // behind it stands what the server decided about the run
			own = own[:min(int64(len(own)), max(l.End-max(l.Base, 0), 0))]
		}
		sum := sha256.Sum256(own)
		r.h.Logs = append(r.h.Logs, history.Log{
			Attempt: l.Attempt, Complete: l.Complete, Size: int64(len(own)), SHA256: hex.EncodeToString(sum[:]),
			Lost: l.Base < 0 || bytes.Contains(text.Bytes(), []byte("bytes of the log were lost")),
		})
	}
	return err
}

// text is the log of a run's phase.
func (r reader) text(ctx context.Context, runID, kind string) (*bytes.Buffer, error) {
	run, err := r.in.client.Run(ctx, runID)
	if err != nil {
		return nil, err
	}
	var phase client.Phase
	if kind == history.Plan {
		phase, err = r.in.client.Plan(ctx, run.PlanID)
	} else {
		phase, err = r.in.client.Apply(ctx, run.ApplyID)
	}
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	return &text, r.in.client.StreamLog(ctx, phase.LogReadURL, &text, client.LogOptions{})
}

func (r reader) outbox(ctx context.Context) error {
	return r.db.QueryRowContext(ctx, `SELECT count(*) FROM outbox`).Scan(&r.h.Outbox)
}

// refold rebuilds the tables from the events in a copy of the database.
func (r reader) refold(ctx context.Context) (err error) {
	if err := tables(ctx, r.db, &r.h.Tables); err != nil {
		return err
	}
	const copyName = "refolded"
	if _, err := r.db.ExecContext(ctx, `DROP DATABASE IF EXISTS `+copyName); err != nil {
		return err
	}
	if _, err := r.db.ExecContext(ctx, `CREATE DATABASE `+copyName); err != nil {
		return err
	}
	dsn := r.in.pg.DSN(copyName)
	again, err := postgres.Open(ctx, postgres.Config{DSN: dsn})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, again.Close()) }()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, table := range []string{"organizations", "workspaces", "run_events"} {
		if err := r.carryOver(ctx, db, table); err != nil {
			return fmt.Errorf("copy %s: %w", table, err)
		}
	}
	if err := again.Refold(ctx); err != nil {
		return err
	}
	return tables(ctx, db, &r.h.Refolded)
}

// carryOver copies a table, without what is only good in its own database and what Postgres makes by itself.
func (r reader) carryOver(ctx context.Context, to *sql.DB, table string) error {
	return each(ctx, r.db, `SELECT to_jsonb(x) - 'xid' - 'state_id' - 'name_parts' FROM `+table+` x`, func(doc []byte) error {
		var columns string
		if err := to.QueryRowContext(ctx, `SELECT string_agg(quote_ident(key), ', ') FROM jsonb_object_keys($1::jsonb) key`, string(doc)).Scan(&columns); err != nil {
			return err
		}
		_, err := to.ExecContext(ctx, fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM jsonb_populate_record(NULL::%s, $1::jsonb)`, table, columns, columns, table), string(doc))
		return err
	})
}

func tables(ctx context.Context, db *sql.DB, into *[]string) error {
	for _, table := range []string{"runs", "tasks", "attempts"} {
		if err := each(ctx, db, `SELECT to_jsonb(x) FROM `+table+` x`, func(doc []byte) error {
			*into = append(*into, table+" "+string(doc))
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// message is one that was sent about an attempt.
type message struct {
	pool, workspace, run, attempt string
	body                          []byte
}

// oldEvents are messages that had an effect, made again from what they caused.
func (in *installation) oldEvents(ctx context.Context, limit int) ([]message, error) {
	db, err := sql.Open("postgres", in.pg.DSN(pgserver.Database))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var out []message
	err = each(ctx, db, fmt.Sprintf(`SELECT jsonb_build_object('run', run_id, 'workspace', workspace_id, 'pool', (SELECT min(pool_id) FROM tasks t WHERE t.run_id = e.run_id), 'type', type, 'source', source_id, 'stage', event->'data'->>'stage')
		FROM run_events e WHERE source_id IS NOT NULL ORDER BY random() LIMIT %d`, limit), func(doc []byte) error {
		var e struct{ Run, Workspace, Pool, Type, Source, Stage string }
		if err := json.Unmarshal(doc, &e); err != nil {
			return err
		}
		m := messages.Event{V: 1, Type: messages.EventProgress, RunID: e.Run, WorkspaceID: e.Workspace, Stage: messages.Stage(e.Stage)}
		parts := strings.Split(e.Source, "/")
		if len(parts) != 3 {
			return fmt.Errorf("source %q: want attempt/source/number", e.Source)
		}
		m.AttemptID, m.Source = parts[0], parts[1]
		if _, err := fmt.Sscan(parts[2], &m.Seq); err != nil {
			return err
		}
		if e.Type != string(messages.EventProgress) {
			m.Type, m.ExitCode = messages.EventExited, -1
		}
		body, err := json.Marshal(m)
		out = append(out, message{e.Pool, e.Workspace, e.Run, m.AttemptID, body})
		return err
	})
	return out, err
}
