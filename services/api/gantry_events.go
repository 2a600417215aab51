package api

import (
	"context"
	"errors"
	"strconv"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Names of the events of a stream.
const (
	eventSnapshot = "snapshot" // the first of a stream that is not resumed, or can't be: it replaces all before it
	eventChange   = "change"
	eventEnd      = "end" // the run is final: do not reconnect
)

// eventBatch is how many events of a run are read at once.
const eventBatch = 200

// runChange is the data of a change: the event, and the run right after it.
type runChange struct {
	Event run.Event `json:"event"`
	Run   run.Run   `json:"run"`
}

// runList is the data of an organization's snapshot: the newest runs, newest first.
type runList struct {
	Runs []run.Run `json:"runs"`
}

// runEvents sends the run as it is and then every change; or, resumed, every change after the one the client has.
func (s *Server) runEvents(r *request) (reply, error) {
	ctx, cancel := s.untilStop(r)
	defer cancel()
	id := r.PathValue("run")
	// Subscribed before the first read, so that no change falls between the two.
	wake, stop := s.notifier.Subscribe(postgres.ChannelEvents, id)
	defer stop()
	at, err := s.db.Run(ctx, id)
	if err != nil {
		return reply{}, err
	}
	last := r.resumeAfter()
	if last != "" {
		if at, err = s.runAt(ctx, at, last); err != nil {
			return reply{}, err
		}
	}
	st, err := s.openStream(r)
	if err != nil {
		return reply{}, ended(ctx, err)
	}
	defer st.close()
	if last == "" {
		if err := st.send(eventSnapshot, strconv.FormatInt(at.Seq, 10), at.Public()); err != nil {
			return reply{}, ended(ctx, err)
		}
	}
	return reply{}, s.followRun(ctx, st, at, id, wake)
}

// runAt is the run as it was after the event with the number that the client sent.
func (s *Server) runAt(ctx context.Context, now run.Run, last string) (run.Run, error) {
	seq, err := strconv.ParseInt(last, 10, 64)
	if err != nil || seq < 0 || seq > now.Seq {
		return run.Run{}, invalid("Last-Event-ID %q is not one of run %s: reconnect without it", last, now.ID)
	}
	return s.foldRun(ctx, now.ID, run.Run{}, seq)
}

// foldRun brings a run forward to the event with the number.
func (s *Server) foldRun(ctx context.Context, id string, at run.Run, seq int64) (run.Run, error) {
	for at.Seq < seq {
		events, err := s.db.RunEvents(ctx, id, at.Seq, int(min(eventBatch, seq-at.Seq)))
		if err != nil || len(events) == 0 {
			return at, err
		}
		for _, e := range events {
			at = run.Fold(at, e)
		}
	}
	return at, nil
}

func (s *Server) followRun(ctx context.Context, st *stream, at run.Run, id string, wake <-chan struct{}) error {
	for {
		events, err := s.db.RunEvents(ctx, id, at.Seq, eventBatch)
		if err != nil {
			return ended(ctx, err)
		}
		for _, e := range events {
			at = run.Fold(at, e)
			if err := st.send(eventChange, strconv.FormatInt(e.Seq, 10), runChange{e.Public(), at.Public()}); err != nil {
				return ended(ctx, err)
			}
		}
		if len(events) == eventBatch {
			continue
		}
		if at.Status.Final() {
			if err := st.send(eventEnd, strconv.FormatInt(at.Seq, 10), struct{}{}); err != nil {
				return ended(ctx, err)
			}
			return ended(ctx, st.flush())
		}
		if err := st.wait(ctx, wake); err != nil {
			return ended(ctx, err)
		}
		if _, err := s.db.Run(ctx, id); err != nil { // deleted with its workspace: nothing follows
			return ended(ctx, err)
		}
	}
}

// organizationEvents sends the newest runs and then every change of any run.
func (s *Server) organizationEvents(r *request) (reply, error) {
	ctx, cancel := s.untilStop(r)
	defer cancel()
	o, err := s.db.Organization(ctx, r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	wake, stop := s.notifier.Subscribe(postgres.ChannelEvents, "")
	defer stop()
	feed := feed{s: s, organization: o.ID, runs: map[string]run.Run{}}
	var newest runList
	last := r.resumeAfter()
	if last != "" {
		if feed.cursor, err = postgres.ParseCursor(last); err == nil {
			feed.pending, feed.cursor, err = s.db.Follow(ctx, o.ID, feed.cursor)
		}
		if errors.Is(err, postgres.ErrOtherEra) { // the snapshot tells the client to start anew
			last, err = "", nil
		}
	}
	if last == "" {
		newest.Runs, feed.cursor, err = s.db.Snapshot(ctx, o.ID, snapshotRuns)
	}
	if err != nil {
		return reply{}, err
	}
	st, err := s.openStream(r)
	if err != nil {
		return reply{}, ended(ctx, err)
	}
	defer st.close()
	if last == "" {
		if newest.Runs == nil {
			newest.Runs = []run.Run{}
		}
		feed.remember(newest.Runs...)
		for i, r := range newest.Runs {
			newest.Runs[i] = r.Public()
		}
		if err := st.send(eventSnapshot, feed.cursor.String(), newest); err != nil {
			return reply{}, ended(ctx, err)
		}
	}
	return reply{}, feed.follow(ctx, st, wake)
}

// snapshotRuns is how many runs an organization's snapshot has.
const snapshotRuns = 100

// feed is the position of one reader in the events of an organization.
type feed struct {
	s            *Server
	organization string
	cursor       postgres.Cursor
	pending      []postgres.FeedEvent // read, not yet sent
	runs         map[string]run.Run   // those that go on, as of their last event sent
}

func (f *feed) remember(runs ...run.Run) {
	for _, r := range runs {
		if r.Status.Final() {
			delete(f.runs, r.ID)
		} else {
			f.runs[r.ID] = r
		}
	}
}

// after is the run right after the event.
func (f *feed) after(ctx context.Context, e run.Event) (run.Run, error) {
	if before, ok := f.runs[e.RunID]; ok && before.Seq == e.Seq-1 {
		return run.Fold(before, e), nil
	}
	return f.s.foldRun(ctx, e.RunID, run.Run{}, e.Seq)
}

func (f *feed) follow(ctx context.Context, st *stream, wake <-chan struct{}) error {
	for {
		for _, e := range f.pending {
			after, err := f.after(ctx, e.Event)
			if err != nil {
				return ended(ctx, err)
			}
			f.remember(after)
			if err := st.send(eventChange, e.Cursor.String(), runChange{e.Event.Public(), after.Public()}); err != nil {
				return ended(ctx, err)
			}
		}
		if err := st.wait(ctx, wake); err != nil {
			return ended(ctx, err)
		}
		var err error
		if f.pending, f.cursor, err = f.s.db.Follow(ctx, f.organization, f.cursor); err != nil {
			return ended(ctx, err)
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
