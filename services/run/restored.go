package run

import (
	"fmt"
	"time"

	"gantry.example/messages"
)

// restored ends what was not over when the backup was taken. By now it may have gone on elsewhere, so nothing that changes
// infrastructure is carried on without a person: an approved apply may have been carried out, and any plan is of a past
// state. A run that only plans begins again.
func (m *machine) restored(in Restored) {
	r := m.run
	if r.Status.Final() {
		return
	}
	was := fmt.Sprintf("The server was restored from a backup of %s, when this run was %s.", in.At.UTC().Format(time.DateTime+" MST"), r.Status)
	t, a := m.run.OpenAttempt()
	attempt := ""
	if a != nil {
		attempt = a.ID
	}
	switch {
	case r.Apply != nil:
		m.end(EventOutcomeUnknown, r.Apply, attempt, Data{
			Code: messages.CodeRunOutcomeUnknown, Outcome: Lost, Reason: "server restored",
			Message: was + " What it changed since is unknown. The workspace stays locked. Compare the last saved state with reality: gantry runs recover " + r.ID + ".",
		})
	case r.Exclusive():
		m.end(EventErrored, r.Plan, attempt, Data{
			Code: messages.CodeRunRestored, Outcome: Lost, Reason: "server restored",
			Message: was + " It is not carried on, because it may have been applied since. Compare the workspace's state with reality, then start a new run.",
		})
	case a != nil && a.State == AttemptClaimed:
		m.neverStarted(t, a, "server restored")
	case a != nil:
		m.vanished(t, a, "server restored")
	}
}
