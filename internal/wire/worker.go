package wire

import "time"

// WorkerStatus is what a worker says about itself every few seconds, so that people learn why a run waits and what their
// agents do. Nothing is decided by it. POST /api/gantry/v1/workers with a pool token. Fields that are missing are those of an
// older worker.
type WorkerStatus struct {
	V        int    `json:"v"`
	Name     string `json:"name"`
	Slots    int    `json:"slots"`              // tasks it carries out at the same time
	Busy     int    `json:"busy"`               // tasks it carries out now
	Refusing string `json:"refusing,omitempty"` // why it takes nothing, for people; empty if it does

	Labels   []string    `json:"labels,omitempty"`   // what it offers
	Version  string      `json:"version,omitempty"`  // of its program
	State    WorkerState `json:"state,omitempty"`    // where it is about to end
	Runs     []string    `json:"runs,omitempty"`     // ids of what it carries out
	Instance string      `json:"instance,omitempty"` // random, one per process: tells two workers of one name apart
	After    string      `json:"after,omitempty"`    // the instance that worked in the same folder before, so it is gone
}

// WorkerState is where a worker is on its way out; empty for one that works.
type WorkerState string

// The states that a worker says itself.
const (
	WorkerDraining WorkerState = "draining" // finishes what runs and takes nothing new
	WorkerExited   WorkerState = "exited"   // its last word
)

// WorkerOrders is the answer to a WorkerStatus.
type WorkerOrders struct {
	Drain     bool       `json:"drain,omitempty"`      // finish what runs, take nothing new, and end
	LabelSets [][]string `json:"label_sets,omitempty"` // that tasks of the pool required, sorted
	// Rival is where another worker that goes by the same name called from a moment ago; empty if there is none. The name stays
	// that one's, and nothing of the status was kept: take another name.
	Rival string `json:"rival,omitempty"`
	// PauseSeconds is how long not to say again how busy the worker is: where there are thousands, their words would keep the
	// server from its work. 0 means as often as it likes.
	PauseSeconds int `json:"pause_seconds,omitempty"`
}

// PlacingRequest tells which claimed attempts a worker is still making a place for, such as Pods that wait for a node: each gets its
// claim's time again. POST /api/gantry/v1/placing with a pool token, every few seconds.
type PlacingRequest struct {
	V        int         `json:"v"`
	Attempts []Placement `json:"attempts"`
}

// Placement is an attempt that a worker has, or finds a place of.
type Placement struct {
	AttemptID string `json:"attempt_id"`
	Extend    bool   `json:"extend,omitempty"` // it will start there; otherwise the worker only asks what became of it
	Reason    string `json:"reason,omitempty"` // what keeps it from starting, for people
}

// PlacingAnswer tells what became of the attempts that were asked about. One that is in neither list is claimed still.
type PlacingAnswer struct {
	Started []string `json:"started"`
	Closed  []string `json:"closed"` // over, or never of this pool: nothing of it will be allowed to start
}

// PoolInfo says whose tasks a pool token is for. GET /api/gantry/v1/pool with it.
type PoolInfo struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Organization string `json:"organization,omitempty"` // its name; empty for the server's own pool
	Version      string `json:"version"`                // of the server
	// Time is the server's, so that a worker notices when its own clock is wrong; servers of before do not say it.
	Time time.Time `json:"time,omitzero"`
}
