package keeper_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/services/keeper"
	"gantry.example/services/postgres"
)

// store notes what it is asked, and fails always: the keeper must go on all the same.
type store struct {
	archives, sweeps int
	retained         []postgres.Retention
}

func (s *store) ArchiveLogs(context.Context, time.Duration, int) (int, error) {
	s.archives++
	return 0, errors.New("down")
}

func (s *store) Sweep(context.Context) error {
	s.sweeps++
	return errors.New("down")
}

func (s *store) Retain(_ context.Context, r postgres.Retention) (postgres.Removed, error) {
	s.retained = append(s.retained, r)
	return postgres.Removed{}, errors.New("down")
}

func TestKeeperGoesOnWhateverFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		keep := postgres.Retention{Runs: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour+time.Second)
		defer cancel()
		if err := keeper.New(s, keep, keeper.DefaultTiming(), slog.New(slog.DiscardHandler)).Run(ctx); err != nil {
			t.Error(err)
		}
		if s.archives != 720 || s.sweeps != 3 {
			t.Errorf("got %d looks at logs and %d sweeps in two hours, want 720 and 3", s.archives, s.sweeps)
		}
		if diff := cmp.Diff([]postgres.Retention{keep, keep, keep}, s.retained); diff != "" {
			t.Errorf("retention (-want +got):\n%s", diff)
		}
	})
}
