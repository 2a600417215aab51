package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"gantry.example/client"
)

// interrupted returns the handler of Ctrl-C. What executes is asked for: an apply by a question where somebody can answer,
// else and before by a cancel. The second Ctrl-C leaves.
func (s *session) interrupted(ctx context.Context, detach context.CancelCauseFunc) func() {
	var asked atomic.Bool
	return func() {
		if asked.Swap(true) {
			detach(errDetached)
			return
		}
		state, _, _ := s.watch.now()
		applying := statusIn(client.ApplyQueued, client.Applying)(state)
		switch {
		case applying && s.app.canAsk():
			s.pending.Go(func() {
				switch s.askToLeave(ctx) {
				case "c":
					s.cancel(ctx)
				case "d":
					detach(errDetached)
				default:
					asked.Store(false)
				}
			})
			return
		case applying:
			s.display.note("\nInterrupt: asking the server to cancel the apply. Terraform stops after what it is doing and its state is\n" +
				"saved. Press Ctrl-C again to leave without waiting for that; the run then ends by itself.")
		default:
			s.display.note("\nInterrupt: asking the server to cancel the run. Press Ctrl-C again to leave without waiting for that.")
		}
		s.pending.Go(func() { s.cancel(ctx) })
	}
}

// askToLeave returns what is to become of the apply: "c", "d", or empty to go on as before. The log waits meanwhile.
func (s *session) askToLeave(ctx context.Context) string {
	defer s.display.hold()()
	fmt.Fprintf(s.app.env.Stdout, "\n\nInterrupt: the apply goes on unless you cancel it.\n"+
		"  c  cancel: Terraform stops after what it is doing, and its state is saved\n"+
		"  d  detach: leave it running; gantry runs logs -f %s shows it again\n"+
		"  Anything else: go on watching.\n\n  Cancel or detach? ", s.run.ID)
	defer fmt.Fprintln(s.app.env.Stdout)
	for {
		state, changed, err := s.watch.now()
		if state.Status.Final() || err != nil {
			return ""
		}
		select {
		case text := <-s.app.input.next():
			return text
		case <-changed:
		case <-ctx.Done():
			return ""
		}
	}
}

// cancel asks the server to stop the run. A run that waits for approval is discarded instead.
func (s *session) cancel(ctx context.Context) {
	// Leaving must not take the request back.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err := s.client.CancelRun(ctx, s.run.ID, "")
	if conflict(err) { // nothing executes
		err = s.client.DiscardRun(ctx, s.run.ID, "")
	}
	if err != nil && !conflict(err) { // a conflict: it has just ended
		s.display.note("Run %s could not be canceled: %v. It goes on.", s.run.ID, err)
	}
}

// conflict reports whether the server refused because the object is not, or no longer, in a state for that.
func conflict(err error) bool {
	var refusal *client.Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusConflict
}
