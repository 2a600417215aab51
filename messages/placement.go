package messages

// Hint tells one worker that a task of a label set is on its pool's queue and worth a pull. Nothing depends on it: a hint
// that is lost costs the task a second, one that is wrong costs a pull that finds nothing.
type Hint struct {
	V      int      `json:"v"`
	ID     string   `json:"id"`               // the worker's answer, a Load, names it
	Labels []string `json:"labels,omitempty"` // the label set
	// Fresh says that the task was stored just now: the worker waits a moment for it, because its queue may not show it yet.
	Fresh bool `json:"fresh,omitempty"`
}

// Load is what a worker says whenever the number of its tasks changes, and when it connects, so that the server can choose
// among workers. What it says is for choosing only: a claim asks nobody how busy he is.
type Load struct {
	V        int      `json:"v"`
	Slots    int      `json:"slots"` // tasks it carries out at the same time
	Busy     int      `json:"busy"`  // tasks it carries out or is about to claim now
	Labels   []string `json:"labels,omitempty"`
	Refusing bool     `json:"refusing,omitempty"` // it takes nothing new: it ends, or its host has no room
	Hint     string   `json:"hint,omitempty"`     // the hint it followed just now, with or without finding a task
}
