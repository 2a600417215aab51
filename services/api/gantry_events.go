package api

import (
	"context"
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
