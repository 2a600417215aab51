package postgres

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// store writes the events that led from before to r, the fold r, and those of its index rows that differ from before, which
// is the zero value where that is not known; and it wakes those who follow the events. It is one statement: a run has half a
// dozen transitions, and each statement costs a round trip while the workspace's lock is held.
func store(ctx context.Context, tx *sqlx.Tx, before, r run.Run, events []run.Event) error {
	doc, err := document(r)
	if err != nil {
		return err
	}
	tasks, attempts := changedRows(before, r)
	rows := make([][]byte, 3)
	for i, v := range []any{eventRows(events), tasks, attempts} {
		if rows[i], err = document(v); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `
		WITH happened AS (
			INSERT INTO run_events (run_id, seq, organization_id, workspace_id, type, source_id, at, event)
			SELECT $1, seq, $3, $4, type, source_id, at, event
			FROM jsonb_to_recordset($11::jsonb) AS e (seq bigint, type text, source_id text, at timestamptz, event jsonb)
			RETURNING 1),
		fold AS (
			INSERT INTO runs (id, position, organization_id, workspace_id, status, exclusive, holds, seq, doc, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (id) DO UPDATE SET status = $5, holds = $7, seq = $8, doc = $9),
		queue AS (
			INSERT INTO tasks (id, run_id, phase, state, pool_id, queued_at, labels, strategy)
			SELECT id, $1, phase, state, pool, queued_at, labels, strategy
			FROM jsonb_to_recordset($12::jsonb) AS t (id text, phase text, state text, pool text, queued_at timestamptz, labels text, strategy text)
			ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, queued_at = EXCLUDED.queued_at),
		tries AS (
			INSERT INTO attempts (id, task_id, run_id, epoch, state, claimed_at, start_deadline, started_at, lost_at, closed_at)
			SELECT id, task_id, $1, epoch, state, claimed_at, start_deadline, started_at, lost_at, closed_at
			FROM jsonb_to_recordset($13::jsonb) AS a (id text, task_id text, epoch bigint, state text, claimed_at timestamptz,
				start_deadline timestamptz, started_at timestamptz, lost_at timestamptz, closed_at timestamptz)
			ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, started_at = EXCLUDED.started_at, lost_at = EXCLUDED.lost_at,
				closed_at = EXCLUDED.closed_at)
		SELECT pg_notify($14, $1) FROM (SELECT count(*) AS n FROM happened) AS all_of_them WHERE n > 0`,
		r.ID, r.Position, r.OrganizationID, r.WorkspaceID, r.Status, r.Exclusive(), r.Holds(), r.Seq, doc, r.CreatedAt,
		rows[0], rows[1], rows[2], ChannelEvents); err != nil {
		return fmt.Errorf("store run %s at its event %d: %w", r.ID, r.Seq, err)
	}
	return nil
}

type eventRow struct {
	Seq      int64         `json:"seq"`
	Type     run.EventType `json:"type"`
	SourceID *string       `json:"source_id"` // NULL where nothing outside brought it
	At       time.Time     `json:"at"`
	Event    run.Event     `json:"event"`
}

type taskRow struct {
	ID       string            `json:"id"`
	Phase    messages.Phase    `json:"phase"`
	State    run.TaskState     `json:"state"`
	Pool     string            `json:"pool"`
	QueuedAt time.Time         `json:"queued_at"`
	Labels   string            `json:"labels"` // separated by commas, which no label has
	Strategy messages.Strategy `json:"strategy"`
}

type attemptRow struct {
	ID            string           `json:"id"`
	TaskID        string           `json:"task_id"`
	Epoch         int64            `json:"epoch"`
	State         run.AttemptState `json:"state"`
	ClaimedAt     time.Time        `json:"claimed_at"`
	StartDeadline time.Time        `json:"start_deadline"`
	StartedAt     *time.Time       `json:"started_at"`
	LostAt        *time.Time       `json:"lost_at"`
	ClosedAt      *time.Time       `json:"closed_at"`
}

func eventRows(events []run.Event) []eventRow {
	out := make([]eventRow, len(events))
	for i, e := range events {
		out[i] = eventRow{Seq: e.Seq, Type: e.Type, At: e.At, Event: e}
		if e.SourceID != "" {
			out[i].SourceID = &e.SourceID
		}
	}
	return out
}

// changedRows are the index rows of r that are not those of before.
func changedRows(before, r run.Run) (tasks []taskRow, attempts []attemptRow) {
	tasks, attempts = []taskRow{}, []attemptRow{}
	for _, t := range r.Tasks() {
		row := rowOfTask(t, r)
		if was := before.TaskByID(t.ID); was == nil || rowOfTask(was, before) != row {
			tasks = append(tasks, row)
		}
		for _, a := range t.Attempts {
			row := rowOfAttempt(t.ID, a)
			if _, was := before.Attempt(a.ID); was == nil || !reflect.DeepEqual(rowOfAttempt(t.ID, *was), row) {
				attempts = append(attempts, row)
			}
		}
	}
	return tasks, attempts
}

func rowOfTask(t *run.Task, r run.Run) taskRow {
	m := r.Message(t)
	return taskRow{ID: t.ID, Phase: t.Phase, State: t.State, Pool: r.Pool, QueuedAt: t.QueuedAt,
		Labels: strings.Join(m.Labels, ","), Strategy: m.Strategy}
}

func rowOfAttempt(taskID string, a run.Attempt) attemptRow {
	return attemptRow{
		ID: a.ID, TaskID: taskID, Epoch: a.Epoch, State: a.State, ClaimedAt: a.ClaimedAt, StartDeadline: a.StartDeadline,
		StartedAt: a.StartedAt, LostAt: a.LostAt, ClosedAt: a.ClosedAt,
	}
}
