// Package trigger begins the runs that follow from applied runs of other workspaces. It reads what happened after it is
// stored, so that no run waits for it, and several servers may do so beside each other.
package trigger

import (
	"context"
	"log/slog"
	"time"

	"gantry.example/services/postgres"
)

// every is how long a trigger takes at most to go off.
const every = 2 * time.Second

// Store knows what happened and makes runs. Both methods may be called by several servers at once.
type Store interface {
	// NoteTriggers notes which runs are to begin.
	NoteTriggers(ctx context.Context) error
	// BeginTriggered makes one of them; ok is false when none waits.
	BeginTriggered(ctx context.Context) (t postgres.Triggered, ok bool, err error)
}

// Starter begins runs.
type Starter struct {
	store Store
	log   *slog.Logger
	down  bool // the failure was logged
}

// New returns a starter that does nothing yet.
func New(store Store, log *slog.Logger) *Starter { return &Starter{store: store, log: log} }

// Run begins runs until ctx ends. What fails is tried again.
func (s *Starter) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := s.Round(ctx)
		if err != nil && !s.down && ctx.Err() == nil {
			s.log.Warn("run triggers wait, trying again", "error", err)
		}
		s.down = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round begins the runs that are to begin now.
func (s *Starter) Round(ctx context.Context) error {
	if err := s.store.NoteTriggers(ctx); err != nil {
		return err
	}
	for {
		t, ok, err := s.store.BeginTriggered(ctx)
		if err != nil || !ok {
			return err
		}
		if t.Refused != nil {
			s.log.Warn("a run trigger went off for nothing", "workspace", t.WorkspaceID, "source", t.SourceName, "source_run", t.SourceRun, "reason", t.Refused)
			continue
		}
		s.log.Info("run triggered", "run", t.Run.ID, "workspace", t.WorkspaceID, "source", t.SourceName, "source_run", t.SourceRun)
	}
}
