package wire

// WorkerStatus is what a worker says about itself every few seconds, so that people learn why a run waits. Nothing is
// decided by it. POST /api/gantry/v1/workers with a pool token.
type WorkerStatus struct {
	V        int    `json:"v"`
	Name     string `json:"name"`
	Slots    int    `json:"slots"`              // tasks it carries out at the same time
	Busy     int    `json:"busy"`               // tasks it carries out now
	Refusing string `json:"refusing,omitempty"` // why it takes nothing, for people; empty if it does
}
