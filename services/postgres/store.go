package postgres

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// beside is what a transition brings along: it is stored by the same statement.
type beside struct {
	outbox []sending
	log    *newLog
	token  *newToken
	result *newResult

	gate   *gate // nil where nothing of it changes
	others bool  // tell whether other runs wait for the gate
}

type sending struct {
	kind    string
	payload []byte
}

// newLog is the log of a task, which an attempt begins unless there is one.
type newLog struct{ task, attempt string }

type newToken struct {
	hash    []byte
	attempt string
	expires time.Time
}

type newResult struct {
	attempt string
	doc     []byte
}

func (b *beside) empty() bool {
	return len(b.outbox) == 0 && b.log == nil && b.token == nil && b.result == nil
}

func (b *beside) send(kind string, payload any) error {
	doc, err := document(payload)
	b.outbox = append(b.outbox, sending{kind, doc})
	return err
}

// of adds what the run's workspace has to do with it.
func (b beside) of(ws *gate, freed bool) beside {
	if ws != nil && ws.moved {
		b.gate = ws
	}
	b.others = freed
	return b
}

// store writes the events that led from before to r, the fold r, those of its index rows that differ from before, which is the
// zero value where that is not known, and what comes beside; those who follow the events are woken when all is committed. It is
// one statement, made of the parts that are needed: a run has half a dozen transitions, and each statement costs a round trip
// while the workspace's lock is held.
//
// others tells whether other runs wait for the gate, where that was asked.
func store(ctx context.Context, tx *txn, before, r run.Run, events []run.Event, with beside) (others bool, err error) {
	s := compound{}
	s.run = s.arg(r.ID)
	if err := s.happened(r, events); err != nil {
		return false, err
	}
	if len(events) > 0 || before.ID == "" {
		if err := s.fold(before, r, len(events) > 0); err != nil {
			return false, err
		}
		s.rows(before, r)
	}
	s.beside(r, with)
	query, args := s.build()
	if err := tx.GetContext(ctx, &others, query, args...); err != nil {
		return false, fmt.Errorf("store run %s at its event %d: %w", r.ID, r.Seq, err)
	}
	if len(events) > 0 {
		tx.wake(ChannelEvents, r.ID)
	}
	if len(with.outbox) > 0 {
		tx.wake(ChannelOutbox, "")
	}
	if with.gate != nil {
		with.gate.moved = false
	}
	return others, nil
}

type taskRow struct {
	ID       string
	Phase    messages.Phase
	State    run.TaskState
	Pool     string
	QueuedAt time.Time
	Labels   string // separated by commas, which no label has
	Strategy messages.Strategy
}

type attemptRow struct {
	ID            string
	TaskID        string
	Epoch         int64
	State         run.AttemptState
	ClaimedAt     time.Time
	StartDeadline time.Time
	StartedAt     *time.Time
	LostAt        *time.Time
	ClosedAt      *time.Time
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
