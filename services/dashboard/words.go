package dashboard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// badge is a status as a person sees it. Tone is a class of style.css: waiting, active, attention, good, bad, neutral.
type badge struct{ Text, Tone string }

func statusBadge(r run.Run) badge {
	switch r.Status {
	case run.Pending:
		return badge{"Pending", "waiting"}
	case run.PlanQueued:
		return badge{"Plan queued", "waiting"}
	case run.ApplyQueued:
		return badge{"Apply queued", "waiting"}
	case run.Planning:
		return badge{"Planning", "active"}
	case run.Applying:
		return badge{"Applying", "active"}
	case run.Planned:
		return badge{"Needs approval", "attention"}
	case run.PlannedAndSaved:
		return badge{"Plan saved", "attention"}
	case run.Confirmed:
		return badge{"Confirmed", "waiting"}
	case run.Applied:
		return badge{"Applied", "good"}
	case run.PlannedAndFinished:
		return badge{"Planned and finished", "good"}
	case run.Discarded:
		return badge{"Discarded", "neutral"}
	case run.Canceled:
		return badge{"Canceled", "neutral"}
	case run.ForceCanceled:
		return badge{"Force-canceled", "neutral"}
	case run.Errored:
		if r.OutcomeUnknown {
			return badge{"Outcome unknown", "bad"}
		}
		return badge{"Errored", "bad"}
	default:
		return badge{string(r.Status), "neutral"}
	}
}

// heading is the run in one line.
func heading(r run.Run) string {
	if line, _, _ := strings.Cut(strings.TrimSpace(r.Note), "\n"); line != "" {
		return line
	}
	switch {
	case r.Options.Destroy:
		return "Destroy everything"
	case r.Options.RefreshOnly:
		return "Refresh the state"
	case r.Options.PlanOnly:
		return "Plan only"
	default:
		return "Plan and apply"
	}
}

// kinds are the options a reader must know to judge the run.
func kinds(r run.Run) []string {
	var out []string
	for _, o := range []struct {
		set  bool
		text string
	}{
		{r.Options.Destroy, "Destroy"}, {r.Options.RefreshOnly, "Refresh only"}, {r.Options.PlanOnly, "Plan only"},
		{r.Options.AutoApply, "Auto-apply"}, {r.Options.SavePlan, "Saved plan"}, {r.Options.SkipRefresh, "No refresh"}, {len(r.Options.TargetAddrs) > 0, "Targeted"},
	} {
		if o.set {
			out = append(out, o.text)
		}
	}
	return out
}

// situation says in plain words what goes on in a run that waits for nothing.
func situation(r run.Run) string {
	switch r.Status {
	case run.Planning, run.Applying:
		return running(r)
	case run.Applied:
		return applied(r)
	case run.PlannedAndFinished:
		if r.Recovers != "" {
			return "The saved state was confirmed and the workspace unlocked."
		}
		if r.HasChanges {
			return "The plan is complete. This run only plans, so nothing was changed."
		}
		return "Nothing to do: the infrastructure matches the configuration."
	case run.Discarded:
		return cmp.Or(r.Failure, "The run was discarded. Nothing was changed.")
	case run.Canceled:
		if task, _ := lastTask(r); task != nil && task.Phase == messages.PhaseApply && task.Last() != nil && task.Last().StartedAt != nil {
			return "The apply was canceled while it ran. What it had done by then is in the state."
		}
		return "The run was canceled before anything was changed."
	case run.ForceCanceled:
		return "The run was stopped by force, without waiting for Terraform."
	default:
		return ""
	}
}

func applied(r run.Run) string {
	if r.Apply == nil || r.Apply.Changes == nil {
		return "The plan was applied."
	}
	c := *r.Apply.Changes
	text := fmt.Sprintf("Applied: %d added, %d changed, %d destroyed", c.Add, c.Change, c.Destroy)
	if c.Import > 0 {
		text += fmt.Sprintf(", %d imported", c.Import)
	}
	return text + "."
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return " (" + strings.TrimRight(text, ".") + ")"
}

func running(r run.Run) string {
	task, attempt := lastTask(r)
	switch {
	case attempt == nil:
		return "Running."
	case attempt.State == run.AttemptLost:
		return fmt.Sprintf("Contact with worker %s is lost. The %s may well be going on: the server waits for it before it judges.", attempt.Worker, task.Phase)
	case r.ForceRequested:
		return "Somebody asked to stop this run by force."
	case r.CancelRequested:
		return "Somebody asked to cancel this run. Terraform was told to stop and saves what it has done."
	}
	did := map[messages.Stage]string{
		messages.StageFetch: "Fetching the configuration", messages.StageInit: "Initializing providers and modules",
		messages.StagePlan: "Planning", messages.StageApply: "Applying", messages.StageUpload: "Storing the result",
	}[attempt.Stage]
	return fmt.Sprintf("%s on worker %s.", cmp.Or(did, "Starting"), attempt.Worker)
}

// lastTask is the task the run is at, and its newest attempt. Either may be nil.
func lastTask(r run.Run) (*run.Task, *run.Attempt) {
	tasks := r.Tasks()
	if len(tasks) == 0 {
		return nil, nil
	}
	last := tasks[len(tasks)-1]
	return last, last.Last()
}

// eventText is what an event tells in the timeline.
func eventText(e run.Event) string {
	phase := cmp.Or(string(e.Data.Phase), "task")
	switch e.Type {
	case run.EventCreated:
		return "Run created"
	case run.EventPlanQueued:
		return "Plan queued"
	case run.EventApplyQueued:
		return "Apply queued"
	case run.EventClaimed:
		return capital(phase) + " taken by a worker" + try(e.Data.Number)
	case run.EventClaimExpired:
		return "Given back" + reason(e.Data.Reason)
	case run.EventStarted:
		return capital(phase) + " started"
	case run.EventBaseStale:
		return "Start refused: the state had moved"
	case run.EventProgress:
		return "Stage: " + string(e.Data.Stage)
	case run.EventPlanned:
		return "Plan finished"
	case run.EventConfirmed:
		return "Approved" + reason(e.Data.Message)
	case run.EventApplied:
		return "Applied"
	case run.EventErrored:
		return "Errored" + reason(string(e.Data.Code))
	case run.EventCancelRequested:
		return "Cancel requested" + reason(e.Data.Message)
	case run.EventReleased:
		return "Workspace released" + reason(e.Data.Message)
	case run.EventRecovering:
		return "Recovery began (" + e.Data.RelatedRun + ")"
	case run.EventRecovered:
		return "Recovered: the state is confirmed"
	case run.EventTimedOut:
		return "Time limit reached, asked to stop"
	case run.EventCanceled:
		return "Canceled"
	case run.EventDiscarded:
		return "Discarded" + reason(e.Data.Message)
	case run.EventRequeued:
		return "Queued again" + reason(e.Data.Reason)
	case run.EventContactLost:
		return "Contact lost"
	case run.EventContactRegained:
		return "Contact regained"
	case run.EventOutcomeUnknown:
		return "Outcome unknown" + reason(e.Data.Reason)
	default:
		return capital(strings.ReplaceAll(string(e.Type), "_", " "))
	}
}

func try(number int) string {
	if number <= 1 {
		return ""
	}
	return fmt.Sprintf(", try %d", number)
}

// eventTone is the color of an event's mark.
func eventTone(t run.EventType) string {
	switch {
	case slices.Contains([]run.EventType{run.EventApplied, run.EventPlanned, run.EventConfirmed, run.EventContactRegained, run.EventRecovered}, t):
		return "good"
	case slices.Contains([]run.EventType{run.EventErrored, run.EventOutcomeUnknown}, t):
		return "bad"
	case slices.Contains([]run.EventType{run.EventContactLost, run.EventRequeued, run.EventClaimExpired, run.EventBaseStale, run.EventCancelRequested, run.EventTimedOut}, t):
		return "attention"
	case slices.Contains([]run.EventType{run.EventStarted, run.EventProgress}, t):
		return "active"
	default:
		return "neutral"
	}
}

// capital makes the first letter a capital.
func capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

// sentence makes an error's text one.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.TrimRight(capital(s), ".") + "."
}

func notFound(err error) bool {
	var coded *postgres.Error
	return errors.As(err, &coded) && coded.Code == messages.CodeNotFound
}

// ago is how long something is past, for lists.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}
