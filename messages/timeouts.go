package messages

import (
	"fmt"
	"time"
)

// NoTimeout is the value of a timeout that lifts the one of the level above.
const NoTimeout = "none"

// Timeouts are the limits of a run, each a duration such as "90m" or "2h30m", or NoTimeout. The zero value of each means
// "not said here": that of the level above, and at last that of the server.
type Timeouts struct {
	Plan     string `json:"plan,omitempty"`     // from the start of the plan to its end
	Apply    string `json:"apply,omitempty"`    // from the start of the apply to its end
	Silence  string `json:"silence,omitempty"`  // of a plan or apply without any output
	Queue    string `json:"queue,omitempty"`    // from creation, or from approval, until a worker takes the work
	Approval string `json:"approval,omitempty"` // of a planned run until somebody applies or discards it
}

// minTimeout keeps a typing error, such as "10" nanoseconds, from ending every run.
const minTimeout = time.Second

// ParseTimeout reads one timeout. said is false where the value is empty; NoTimeout is 0.
func ParseTimeout(s string) (limit time.Duration, said bool, err error) {
	switch s {
	case "":
		return 0, false, nil
	case NoTimeout:
		return 0, true, nil
	}
	limit, err = time.ParseDuration(s)
	if err != nil || limit < minTimeout {
		return 0, false, fmt.Errorf(`%q is neither a duration of at least %s, such as "90m" or "2h30m", nor %q`, s, minTimeout, NoTimeout)
	}
	return limit, true, nil
}

func (t Timeouts) validate() error {
	for _, f := range []struct{ name, value string }{
		{"plan", t.Plan}, {"apply", t.Apply}, {"silence", t.Silence}, {"queue", t.Queue}, {"approval", t.Approval},
	} {
		if _, _, err := ParseTimeout(f.value); err != nil {
			return &FieldError{"timeouts." + f.name, CodeExecutionInvalid, err.Error()}
		}
	}
	return nil
}

// merge returns t with every unset timeout taken from base.
func (t Timeouts) merge(base Timeouts) Timeouts {
	fill(&t.Plan, base.Plan)
	fill(&t.Apply, base.Apply)
	fill(&t.Silence, base.Silence)
	fill(&t.Queue, base.Queue)
	fill(&t.Approval, base.Approval)
	return t
}
