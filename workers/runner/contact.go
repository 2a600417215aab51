package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gantry.example/client"
)

// errOffline is why an apply is stopped that was cut off for too long.
var errOffline = errors.New("neither the server nor NATS was reached for too long")

// Bounds of the pause between two looks.
const (
	minContactPause = 50 * time.Millisecond
	maxContactPause = 3 * time.Second
)

// watchContact looks after an apply that lost its lease, until stop is called. It goes on, spooling on disk, as long as the
// server answers and takes what it makes. It is asked to stop when the server says that the attempt was superseded, as after
// a suspension of the machine, or when nobody was reached for the offline limit: then the server is about to give it up, and
// what it does would surprise whoever looks.
func (r *attempt) watchContact(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pause := min(max(r.OfflineLimit/20, minContactPause), maxContactPause)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if r.leased() || r.answered(ctx, pause) {
				last = time.Now()
				continue
			}
			if cut := time.Since(last); cut > r.OfflineLimit && ctx.Err() == nil {
				r.log.Error("the apply is stopped: nobody was reached for too long", "since", last, "limit", r.OfflineLimit)
				cancel(errOffline)
				return
			}
		}
	}()
	return func() {
		end()
		<-done
	}
}

// leased reports whether the lease is held, without waiting for it.
func (r *attempt) leased() bool {
	select {
	case <-r.link.done:
		return r.link.lease != nil && r.link.lease.Valid()
	default:
		return false
	}
}

// answered asks the server about the attempt, and stops it if it is superseded. Every answer is one, also that the server
// has never heard of it: only silence is not.
func (r *attempt) answered(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	status, err := r.api.Status(ctx)
	var refusal *client.Error
	switch {
	case err == nil && !status.Open:
		r.stop.cancel(errSuperseded)
		return true
	case err == nil:
		return true
	default:
		return errors.As(err, &refusal) && refusal.Status < 500
	}
}

// offlineText tells people why the apply was stopped.
func (r *attempt) offlineText() string {
	return fmt.Sprintf("The apply was stopped because neither the server nor NATS could be reached from its host for %s, the offline limit. What it had changed by then is in the state.", r.OfflineLimit)
}
