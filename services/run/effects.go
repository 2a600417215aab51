package run

import "gantry.example/messages"

// Effect is what the outside world must be told because a run changed. It is written to the outbox in the transaction of
// the change. Exactly one field is set.
type Effect struct {
	Publish *messages.Task    // announce the queued task
	Delete  *messages.Task    // take the task's message off the queue: nobody should claim it any more
	Command *messages.Command // tell the runner of the open attempt to stop
	Free    bool              // the run no longer holds its gate
	Wait    bool              // the run waits for its gate anew, which may be free
	// TakeOver is the run whose gate a confirmed recovery takes over. It comes before all others.
	TakeOver string
	// Withdraw is the recovery that has lost its reason, because the outcome is known or the workspace was freed.
	Withdraw string
}

// Effects compares the run before and after a transition. It depends on nothing but the two, so a replayed transition has
// the same effects.
func Effects(before, after Run) []Effect {
	var out []Effect
	took := before.Borrows() && !after.Borrows()
	if took {
		out = append(out, Effect{TakeOver: after.Recovers})
	}
	for _, t := range after.Tasks() {
		msg := after.Message(t)
		was := before.TaskByID(t.ID)
		switch {
		case t.State == TaskQueued && (was == nil || was.Queued != t.Queued):
			out = append(out, Effect{Publish: &msg})
		case t.State == TaskFinished && was != nil && was.State == TaskQueued:
			out = append(out, Effect{Delete: &msg})
		}
	}
	if _, a := after.OpenAttempt(); a != nil {
		wasAsked, wasForced := before.StopAsked(a.ID)
		if asked, forced := after.StopAsked(a.ID); asked && (!wasAsked || forced != wasForced) {
			out = append(out, Effect{Command: &messages.Command{V: messages.Version, AttemptID: a.ID, Cancel: true, Force: forced}})
		}
	}
	// A plan given up by force has a closed attempt whose runner is still to be told.
	if _, a := before.OpenAttempt(); a != nil && a.State != AttemptClaimed && after.Status == ForceCanceled {
		if _, now := after.Attempt(a.ID); !now.Open() && now.CloseReason == "canceled" {
			out = append(out, Effect{Command: &messages.Command{V: messages.Version, AttemptID: a.ID, Cancel: true, Force: true}})
		}
	}
	if before.OutcomeUnknown && !after.OutcomeUnknown && after.Recovery != "" && after.Recovery != after.RecoveredBy {
		out = append(out, Effect{Withdraw: after.Recovery})
	}
	if (before.Holds() || took) && !after.Holds() {
		out = append(out, Effect{Free: true})
	}
	if after.Status == Confirmed && before.Status != Confirmed {
		out = append(out, Effect{Wait: true})
	}
	return out
}
