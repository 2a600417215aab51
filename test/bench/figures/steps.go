package figures

import (
	"slices"
	"time"
)

// Event is one entry of a run's history.
type Event struct {
	Type  string
	Stage string // of a "progress" event: the stage that begins
	At    time.Time
}

func (e Event) name() string {
	if e.Type == "progress" {
		return e.Stage
	}
	return e.Type
}

// Step is what happened between two events that follow each other.
type Step struct {
	Phase    string // plan or apply, or empty for what the client saw
	From, To string
	Took     time.Duration
}

// Steps cuts the history of a run, oldest event first, into the steps it took. Their sum is the whole.
func Steps(events []Event) []Step {
	var steps []Step
	phase := "plan"
	for i := 1; i < len(events); i++ {
		before, after := events[i-1], events[i]
		if before.Type == "planned" {
			phase = "apply"
		}
		steps = append(steps, Step{Phase: phase, From: before.name(), To: after.name(), Took: after.At.Sub(before.At)})
	}
	return steps
}

// StepTimes are the times of one step over many runs.
type StepTimes struct {
	Step          // of the first run that took it; Took is that run's
	Times Sample  // in milliseconds
	Share float64 // of the time of all steps, 0 to 1
}

// Breakdown tells where the time of the runs went, in the order of the first run that took each step.
func Breakdown(runs [][]Step) []StepTimes {
	var out []StepTimes
	total := 0.0
	for _, steps := range runs {
		for _, s := range steps {
			at := slices.IndexFunc(out, func(o StepTimes) bool { return o.Phase == s.Phase && o.From == s.From && o.To == s.To })
			if at < 0 {
				at, out = len(out), append(out, StepTimes{Step: s})
			}
			ms := float64(s.Took) / float64(time.Millisecond)
			out[at].Times = append(out[at].Times, ms)
			total += ms
		}
	}
	for i := range out {
		out[i].Share = out[i].Times.Sum() / total
	}
	return out
}

// meaning says what is done between the event and the next one.
func meaning(from string) string {
	switch from {
	case "request":
		return "HTTP request, run stored"
	case "created":
		return "released"
	case "plan_queued", "apply_queued":
		return "queue: outbox → NATS → pull → claim"
	case "claimed":
		return "runner placed and connected"
	case "started":
		return "work folder prepared"
	case "fetch":
		return "inputs fetched, lease taken, start permitted"
	case "init":
		return "terraform init"
	case "plan":
		return "terraform plan"
	case "apply":
		return "terraform apply"
	case "upload":
		return "plan or state, log and result stored, projected"
	case "planned", "confirmed":
		return "decided"
	case "applied":
		return "event sent to the client"
	default:
		return ""
	}
}
