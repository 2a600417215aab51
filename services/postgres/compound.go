package postgres

import (
	"fmt"
	"strings"

	"gantry.example/services/run"
)

// compound is a statement that changes several tables at once. Its text depends on nothing but how many rows of each kind it has, so
// that connections prepare few of them.
type compound struct {
	run    param // its id, which nearly every part has
	parts  []string
	others string
	args   []any
}

// param is the place of a parameter in the text.
type param string

func (s *compound) arg(v any) param {
	s.args = append(s.args, v)
	return param(fmt.Sprintf("$%d", len(s.args)))
}

// row is a row of values, in the order of its columns.
func (s *compound) row(values ...any) string {
	out := make([]string, len(values))
	for i, v := range values {
		p, ok := v.(param)
		if !ok {
			p = s.arg(v)
		}
		out[i] = string(p)
	}
	return "(" + strings.Join(out, ", ") + ")"
}

// add adds a part that changes one table; each table may be changed by one part only, or by parts with different rows.
func (s *compound) add(part string) { s.parts = append(s.parts, part) }

func (s *compound) build() (string, []any) {
	var b strings.Builder
	for i, part := range s.parts {
		sep := ", "
		if i == 0 {
			sep = "WITH "
		}
		fmt.Fprintf(&b, "%sp%d AS (%s)", sep, i, part)
	}
	others := "false"
	if s.others != "" {
		others = s.others
	}
	return b.String() + " SELECT " + others, s.args
}

// happened appends the events.
func (s *compound) happened(r run.Run, events []run.Event) error {
	if len(events) == 0 {
		return nil
	}
	organization, workspace := s.arg(r.OrganizationID), s.arg(r.WorkspaceID)
	rows := make([]string, len(events))
	for i, e := range events {
		doc, err := document(e)
		if err != nil {
			return err
		}
		var source *string // NULL where nothing outside brought it
		if e.SourceID != "" {
			source = &e.SourceID
		}
		rows[i] = s.row(s.run, e.Seq, organization, workspace, e.Type, source, e.At, doc)
	}
	s.add(`INSERT INTO run_events (run_id, seq, organization_id, workspace_id, type, source_id, at, event) VALUES ` + strings.Join(rows, ", "))
	return nil
}

// fold writes the run. A new one is the newest of its workspace from then on.
func (s *compound) fold(before, r run.Run, isNew bool) error {
	doc, err := document(r)
	if err != nil {
		return err
	}
	if before.ID != "" {
		s.add(fmt.Sprintf(`UPDATE runs SET status = %s, holds = %s, seq = %s, doc = %s WHERE id = %s`,
			s.arg(r.Status), s.arg(r.Holds()), s.arg(r.Seq), s.arg(doc), s.run))
		return nil
	}
	workspace := s.arg(r.WorkspaceID)
	if isNew {
		s.add(fmt.Sprintf(`UPDATE runs SET newest = NULL WHERE workspace_id = %s AND newest AND id <> %s`, workspace, s.run))
	}
	s.add(`INSERT INTO runs (id, position, organization_id, workspace_id, status, exclusive, holds, seq, doc, created_at) VALUES ` +
		s.row(s.run, r.Position, r.OrganizationID, workspace, r.Status, r.Exclusive(), r.Holds(), r.Seq, doc, r.CreatedAt) +
		` ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, holds = EXCLUDED.holds, seq = EXCLUDED.seq, doc = EXCLUDED.doc`)
	return nil
}

// rows writes the index rows of tasks and attempts that are not those of before.
func (s *compound) rows(before, r run.Run) {
	tasks, attempts := changedRows(before, r)
	for _, t := range tasks {
		if before.TaskByID(t.ID) != nil {
			s.add(fmt.Sprintf(`UPDATE tasks SET state = %s, queued_at = %s WHERE id = %s`, s.arg(t.State), s.arg(t.QueuedAt), s.arg(t.ID)))
			continue
		}
		s.add(`INSERT INTO tasks (id, run_id, phase, state, pool_id, queued_at, labels, strategy) VALUES ` +
			s.row(t.ID, s.run, t.Phase, t.State, t.Pool, t.QueuedAt, t.Labels, t.Strategy) +
			` ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, queued_at = EXCLUDED.queued_at`)
	}
	for _, a := range attempts {
		if _, was := before.Attempt(a.ID); was != nil {
			s.add(fmt.Sprintf(`UPDATE attempts SET state = %s, started_at = %s, lost_at = %s, closed_at = %s WHERE id = %s`,
				s.arg(a.State), s.arg(a.StartedAt), s.arg(a.LostAt), s.arg(a.ClosedAt), s.arg(a.ID)))
			continue
		}
		s.add(`INSERT INTO attempts (id, task_id, run_id, epoch, state, claimed_at, start_deadline, started_at, lost_at, closed_at) VALUES ` +
			s.row(a.ID, a.TaskID, s.run, a.Epoch, a.State, a.ClaimedAt, a.StartDeadline, a.StartedAt, a.LostAt, a.ClosedAt) +
			` ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, started_at = EXCLUDED.started_at, lost_at = EXCLUDED.lost_at,
			closed_at = EXCLUDED.closed_at`)
	}
}

// beside writes what comes with the transition.
func (s *compound) beside(r run.Run, with beside) {
	if g := with.gate; g != nil {
		s.add(fmt.Sprintf(`UPDATE workspaces SET gate_run_id = %s, epoch = %s WHERE id = %s`, s.arg(g.Run), s.arg(g.Epoch), s.arg(g.ID)))
	}
	if len(with.outbox) > 0 {
		rows, at := make([]string, len(with.outbox)), s.arg(now())
		for i, o := range with.outbox {
			rows[i] = s.row(o.kind, s.run, o.payload, at)
		}
		s.add(`INSERT INTO outbox (kind, run_id, payload, created_at) VALUES ` + strings.Join(rows, ", "))
	}
	if l := with.log; l != nil {
		s.add(`INSERT INTO logs (task_id, run_id, attempt_id) VALUES ` + s.row(l.task, s.run, l.attempt) + ` ON CONFLICT (task_id) DO NOTHING`)
	}
	if t := with.token; t != nil {
		s.add(`INSERT INTO attempt_tokens (hash, attempt_id, run_id, expires_at) VALUES ` + s.row(t.hash, t.attempt, s.run, t.expires))
	}
	if p := with.result; p != nil {
		s.add(`INSERT INTO results (attempt_id, run_id, doc, received_at) VALUES ` + s.row(p.attempt, s.run, p.doc, now()) +
			` ON CONFLICT (attempt_id) DO NOTHING`)
	}
	if with.others {
		s.others = fmt.Sprintf(`EXISTS (SELECT 1 FROM runs WHERE workspace_id = %s AND status IN ('pending', 'confirmed') AND exclusive AND id <> %s)`,
			s.arg(r.WorkspaceID), s.run)
	}
}
