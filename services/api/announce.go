package api

import (
	"context"
	"encoding/json"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Announcer tells on NATS what happened to a run, to whoever listens at that moment. Announce may return before it is sent; Flush
// returns when all is.
type Announcer interface {
	Announce(organizationID, workspaceID, runID string, change []byte) error
	Flush(ctx context.Context) error
}

// Announce tells the changes of organizations that somebody listens to on NATS until ctx ends, each as the streams of server-sent
// events have it. Of all servers one does so at a time.
func (s *Server) Announce(ctx context.Context, to Announcer) error {
	wake, stop := s.notifier.Subscribe(postgres.ChannelEvents, "")
	defer stop()
	come, stopCome := s.notifier.Subscribe(postgres.ChannelReaders, "")
	defer stopCome()
	a := &announcements{s: s, to: to, runs: map[string]run.Run{}}
	for {
		readers, more, err := s.db.Announce(ctx, a.tell)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("events could not be told on NATS, trying again", "error", err)
		}
		changed := wake
		if readers == 0 {
			changed = nil // nobody listens, or another server does this
			clear(a.runs)
		}
		if more {
			continue
		}
		pace, poll := time.NewTimer(hubPace), time.NewTimer(pollEvery)
		select {
		case <-ctx.Done():
		case <-pace.C:
			select {
			case <-ctx.Done():
			case <-changed:
			case <-come:
			case <-poll.C:
			}
		}
		pace.Stop()
		poll.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// announcements are used by one goroutine.
type announcements struct {
	s    *Server
	to   Announcer
	runs map[string]run.Run // those that go on, as of their last event
}

func (a *announcements) tell(ctx context.Context, organizationID string, events []postgres.FeedEvent) error {
	for _, e := range events {
		after, err := a.s.after(ctx, a.runs, e.Event)
		if err != nil {
			return err
		}
		body, err := json.Marshal(statusChange{e.Event.Public(), briefly(after)})
		if err != nil {
			return err
		}
		if err := a.to.Announce(organizationID, after.WorkspaceID, after.ID, body); err != nil {
			return err
		}
	}
	return a.to.Flush(ctx)
}
