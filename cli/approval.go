package cli

import (
	"context"
	"fmt"

	"gantry.example/client"
)

// decide returns the run as it is after it was approved or discarded, here or by somebody else. A run that still is
// planned waits for somebody else.
func (s *session) decide(ctx context.Context) (client.RunState, error) {
	decided := not(statusIn(client.Planned))
	if s.run.AutoApply {
		return s.watch.await(ctx, decided, s.progress)
	}
	state, _, _ := s.watch.now()
	if decided(state) || !s.app.canAsk() {
		return state, nil
	}
	out := s.app.env.Stdout
	s.display.progress("", "")
	fmt.Fprintf(out, "\nDo you want to apply this plan in workspace %s?\n"+
		"  Only 'yes' is accepted to approve.\n\n  Enter a value: ", s.name)
	defer fmt.Fprintln(out)
	for {
		state, changed, err := s.watch.now()
		if decided(state) || err != nil {
			s.elsewhere(state)
			return state, err
		}
		select {
		case text, ok := <-s.app.input.next():
			if !ok { // the input has ended
				return state, nil
			}
			return s.answer(ctx, text == "yes")
		case <-changed:
		case <-ctx.Done():
			return state, context.Cause(ctx)
		}
	}
}

// answer tells the server and returns the run as it then is. A conflict means that somebody else was faster.
func (s *session) answer(ctx context.Context, yes bool) (client.RunState, error) {
	tell := s.client.DiscardRun
	if yes {
		tell = s.client.ApplyRun
	}
	refused := tell(ctx, s.run.ID, "")
	if refused != nil && !conflict(refused) {
		return client.RunState{}, refused
	}
	state, err := s.watch.await(ctx, not(statusIn(client.Planned)), nil)
	if refused != nil && err == nil {
		s.elsewhere(state)
	}
	return state, err
}

// elsewhere says that the decision was not made here.
func (s *session) elsewhere(state client.RunState) {
	switch {
	case state.ConfirmedBy != "":
		s.display.note("\nRun %s was approved already, by %s. Following it.", s.run.ID, state.ConfirmedBy)
	case state.Status == client.Discarded:
		s.display.note("\nRun %s was discarded by somebody else.", s.run.ID)
	}
}
