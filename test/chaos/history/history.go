// Package history judges what an installation of Gantry did: it reads nothing but records, and knows none of the code that
// wrote them.
package history

import "time"

// Phases of a run, as events and journals name them.
const (
	Plan  = "plan"
	Apply = "apply"
)

// History is everything that is left of a session: what users were told, what Gantry stored, and what terraform did outside
// of Gantry.
type History struct {
	Accepted []string // runs that users were told about
	Runs     []Run
	Events   []Event // in the order in which they were stored
	States   []State // all of them, in the order in which they were stored
	Results  []Result
	Journal  []Entry // in the order of each workspace's file
	Logs     []Log
	// Tables and Refolded are the rows of runs, tasks and attempts, by table and id: as they are, and as the events give them.
	Tables, Refolded []string
	// Outbox is how many messages were never sent.
	Outbox int
	// Broken are the attempts whose runner was killed or frozen: they cannot stop what they executed.
	Broken map[string]bool
	// LogsDeleted tells that somebody deleted the stream of logs: then a log may say what it lacks.
	LogsDeleted bool
}

// Run is a row of runs, and what the API says it waits for.
type Run struct {
	ID, Workspace, Status string
	Word                  string // by which the journal knows it
	Position              int64
	Exclusive             bool
	OutcomeUnknown        bool
	Waits                 string // reason, empty if it waits for nothing
}

// Event is a row of run_events.
type Event struct {
	Run, Workspace, Type string
	Seq                  int64
	Source               string // id of the message that caused it
	At                   time.Time
	Phase                string
	Task, Attempt        string
	Epoch                int64
	Stage                string // of a progress
	Outcome              string // of an end
}

// State is a version of a workspace's state.
type State struct {
	ID, Workspace, Run string
	Serial, Epoch      int64
	Lineage            string
	Superseded         bool // kept aside
	At                 time.Time
	Steps              []Step // that are in it
}

// Step is a resource that a run made; it writes to the journal while it does.
type Step struct{ Word, Name string }

// Result is what a runner reported at the end of an attempt.
type Result struct {
	Attempt, Run string
	LogSize      int64
	LogSHA256    string
}

// Log is the stored part of a task's log that belongs to its last attempt.
type Log struct {
	Attempt  string
	Complete bool
	Size     int64
	SHA256   string
	Lost     bool // it says that bytes were lost
}

// Kinds of journal entries.
const (
	Executed   = "exec"    // terraform was executed for a phase of a run
	Overlapped = "overlap" // … while another one of the workspace was
	Began      = "begin"   // of a step, written by its provisioner
	Ended      = "end"
)

// Entry is a line of a workspace's journal, which is written outside of Gantry.
type Entry struct {
	Workspace, Kind string
	At              int64 // nanoseconds of the machine's clock

	Run, Phase           string // Executed, Overlapped
	Attempt              string // Executed
	OtherRun, OtherPhase string // Overlapped: who was there

	Step Step // Began, Ended
}

// Breach is a promise that was not kept.
type Breach struct {
	Rule   string
	Detail string
}

func (b Breach) String() string { return b.Rule + ": " + b.Detail }
