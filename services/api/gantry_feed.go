package api

import (
	"context"
	"errors"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// snapshotRuns is how many runs an organization's snapshot has.
const snapshotRuns = 100

// eventBehind ends the stream of a reader that was too slow. Its id is where to go on: a browser does so by itself.
const eventBehind = "behind"

// statusChange is an event with the little of its run that a board of statuses needs.
type statusChange struct {
	Event run.Event `json:"event"`
	Run   runBrief  `json:"run"`
}

// runBrief is a run in a few fields.
type runBrief struct {
	ID             string        `json:"id"`
	OrganizationID string        `json:"organization_id"`
	WorkspaceID    string        `json:"workspace_id"`
	Pool           string        `json:"pool"`
	Mode           messages.Mode `json:"execution_mode"`
	Status         run.Status    `json:"status"`
	OutcomeUnknown bool          `json:"outcome_unknown,omitempty"`
	HasChanges     bool          `json:"has_changes,omitempty"`
	Message        string        `json:"message,omitempty"`
	CreatedBy      string        `json:"created_by,omitempty"`
	CreatedAt      time.Time     `json:"created_at"`
	Seq            int64         `json:"seq"` // number of its last event
}

// statusList is the data of a snapshot of statuses: the newest runs, newest first.
type statusList struct {
	Runs []runBrief `json:"runs"`
}

func briefly(r run.Run) runBrief {
	return runBrief{
		r.ID, r.OrganizationID, r.WorkspaceID, r.Pool, r.Execution.Mode, r.Status, r.OutcomeUnknown, r.HasChanges, r.Note, r.CreatedBy, r.CreatedAt, r.Seq,
	}
}

// statusEvents sends the newest runs of an organization in brief and then every change, of one workspace or pool if asked for.
func (s *Server) statusEvents(r *request) (reply, error) {
	q := r.URL.Query()
	if q.Get("organization") == "" {
		return reply{}, invalid("query parameter organization: missing: name the organization (id or name) to follow")
	}
	f := feed{s: s, brief: true}
	var err error
	if ref := q.Get("workspace"); ref != "" {
		if f.workspace, err = s.workspaceIn(r.Context(), q.Get("organization"), ref); err != nil {
			return reply{}, err
		}
	}
	if ref := q.Get("pool"); ref != "" {
		if f.pool, err = s.poolIn(r.Context(), q.Get("organization"), ref); err != nil {
			return reply{}, err
		}
	}
	return f.serve(r, q.Get("organization"))
}

// workspaceIn is the id of a workspace of the organization, named by id or name.
func (s *Server) workspaceIn(ctx context.Context, organization, ref string) (string, error) {
	o, err := s.db.Organization(ctx, organization)
	if err != nil {
		return "", err
	}
	if w, err := s.db.Workspace(ctx, ref); err == nil && w.OrganizationID == o.ID {
		return w.ID, nil
	}
	w, err := s.db.WorkspaceByName(ctx, organization, ref)
	return w.ID, err
}

// poolIn is the id of a pool that runs of the organization may have, named by id, name or number.
func (s *Server) poolIn(ctx context.Context, organization, ref string) (string, error) {
	if ref == messages.LocalPool {
		return ref, nil
	}
	o, err := s.db.Organization(ctx, organization)
	if err != nil {
		return "", err
	}
	if p, err := s.db.Pool(ctx, ref); err == nil && p.OrganizationID == o.ID {
		return p.ID, nil
	}
	named, _, err := s.db.Pools(ctx, o.ID, ref, postgres.Page{Size: 100})
	if err != nil {
		return "", err
	}
	for _, p := range named {
		if p.Name == ref {
			return p.ID, nil
		}
	}
	return "", notFound("pool", ref)
}

// organizationEvents sends the newest runs and then every change of any run.
func (s *Server) organizationEvents(r *request) (reply, error) {
	return (&feed{s: s}).serve(r, r.PathValue("organization"))
}

// mayRead looks again at what authorize decided when a stream was opened: a token that was revoked since, or a membership that
// ended, ends the stream.
func (s *Server) mayRead(ctx context.Context, r *request, organization string) error {
	t, inside := held(r.Context())
	if !inside {
		var err error
		if t, err = s.db.Token(ctx, r.bearer); err != nil {
			return err
		}
	}
	role, err := s.db.RoleIn(ctx, t, organization)
	if err == nil && !role.Covers(postgres.RoleRead) {
		err = notFound("organization", organization)
	}
	return err
}

// feed is one reader of an organization's events. Used by the goroutine of its request only.
type feed struct {
	s               *Server
	hub             *hub
	brief           bool
	workspace, pool string // "" for all
	last            postgres.Cursor
	out             []byte // what is to be written at once
}

// maxWrite bounds what a reader's events take in memory beside the hub's.
const maxWrite = 64 << 10

func (f *feed) serve(r *request, organization string) (reply, error) {
	ctx, cancel := f.s.untilStop(r)
	defer cancel()
	o, err := f.s.db.Organization(ctx, organization)
	if err != nil {
		return reply{}, err
	}
	f.hub = f.s.join(o.ID)
	defer f.hub.leave()
	resumed := r.resumeAfter() != ""
	if resumed {
		if f.last, err = postgres.ParseCursor(r.resumeAfter()); err != nil {
			return reply{}, err
		}
	}
	position, end, err := f.hub.position(ctx)
	if err != nil {
		return reply{}, ended(ctx, err)
	}
	var newest []run.Run
	if !resumed || f.last.Era != end.Era { // a snapshot tells the reader to start anew
		if newest, f.last, err = f.s.db.Snapshot(ctx, o.ID, snapshotRuns); err != nil {
			return reply{}, ended(ctx, err)
		}
		if position, end, err = f.hub.position(ctx); err != nil {
			return reply{}, ended(ctx, err)
		}
		resumed = false
	} else if _, _, err := f.s.db.FollowUntil(ctx, o.ID, f.last, end, 1); err != nil { // before the head says that all is well
		return reply{}, err
	}
	st, err := f.s.openStream(r)
	if err != nil {
		return reply{}, ended(ctx, err)
	}
	defer st.close()
	st.still = func(ctx context.Context) error { return f.hub.still(ctx, r) }
	if !resumed {
		if err := f.snapshot(st, newest); err != nil {
			return reply{}, ended(ctx, err)
		}
	}
	if err := f.catchUp(ctx, st, o.ID, end); err != nil {
		return reply{}, ended(ctx, err)
	}
	return reply{}, ended(ctx, f.follow(ctx, st, position))
}

func (f *feed) snapshot(st *stream, newest []run.Run) error {
	full, brief := runList{Runs: []run.Run{}}, statusList{Runs: []runBrief{}}
	for _, r := range newest {
		if f.wants(r.WorkspaceID, r.Pool) {
			full.Runs, brief.Runs = append(full.Runs, r.Public()), append(brief.Runs, briefly(r))
		}
	}
	if f.brief {
		return st.send(eventSnapshot, f.last.String(), brief)
	}
	return st.send(eventSnapshot, f.last.String(), full)
}

func (f *feed) wants(workspace, pool string) bool {
	return (f.workspace == "" || f.workspace == workspace) && (f.pool == "" || f.pool == pool)
}

// catchUp sends what happened between the reader's position and the hub's, from the database and in pieces.
func (f *feed) catchUp(ctx context.Context, st *stream, organization string, end postgres.Cursor) error {
	runs := map[string]run.Run{}
	for f.last != end {
		events, next, err := f.s.db.FollowUntil(ctx, organization, f.last, end, eventBatch)
		if err != nil {
			return err
		}
		for _, e := range events {
			after, err := f.s.after(ctx, runs, e.Event)
			if err != nil {
				return err
			}
			made, err := newEntry(e, after)
			if err != nil {
				return err
			}
			if err := f.add(st, made); err != nil {
				return err
			}
		}
		f.last = next
		if err := f.write(st); err != nil {
			return err
		}
	}
	return nil
}

// follow sends what the hub reads from its position on.
func (f *feed) follow(ctx context.Context, st *stream, position int64) error {
	for {
		entries, at, grown, there := f.hub.from(position)
		if !there {
			if err := st.send(eventBehind, f.last.String(), struct{}{}); err != nil {
				return err
			}
			return st.flush()
		}
		for _, e := range entries {
			if err := f.add(st, e); err != nil {
				return err
			}
		}
		if err := f.write(st); err != nil {
			return err
		}
		position, f.last = position+int64(len(entries)), at
		if err := st.waitFor(ctx, grown, at.String()); err != nil {
			return err
		}
	}
}

// add puts the event with what is to be written next.
func (f *feed) add(st *stream, e *entry) error {
	if !f.wants(e.workspace, e.pool) {
		return nil
	}
	b := e.brief
	if !f.brief {
		var err error
		if b, err = e.full(); err != nil {
			return err
		}
	}
	if len(f.out)+len(b) > maxWrite {
		if err := f.write(st); err != nil {
			return err
		}
	}
	f.out = append(f.out, b...)
	return nil
}

func (f *feed) write(st *stream) error {
	if len(f.out) == 0 {
		return nil
	}
	err := st.writeBytes(f.out)
	f.out = f.out[:0]
	if cap(f.out) > 2*maxWrite {
		f.out = nil
	}
	return err
}

// waitFor returns when the channel is closed, or with the error that ends the stream. While nothing comes the reader is told
// its position, so that one that is not concerned by much still resumes from near the end.
func (st *stream) waitFor(ctx context.Context, grown <-chan struct{}, position string) error {
	if err := st.flush(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
			return st.still(ctx)
		case <-st.poll.C:
			if err := st.still(ctx); err != nil {
				return err
			}
		case <-st.heartbeat.C:
			if err := st.write("id: " + position + "\n\n"); err != nil {
				return err
			}
			if err := st.flush(); err != nil {
				return err
			}
		}
	}
}

// ended makes the ordinary end of a stream, by its client or by the server's stop, no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// pathStatusEvents is the call that boards of statuses follow.
const pathStatusEvents = "/api/gantry/v1/events"
