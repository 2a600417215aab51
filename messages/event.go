package messages

import (
	"fmt"
	"time"
)

// EventType says what a runner or worker reports about an attempt.
type EventType string

// The events runners and workers send. A reader ignores an event of an unknown type.
const (
	// EventProgress tells that the attempt entered the stage named in Stage. Informative only.
	EventProgress EventType = "progress"
	// EventFinished tells that the result of the attempt is stored. It implies every earlier event of the attempt.
	EventFinished EventType = "finished"
	// EventExited tells, from the worker that placed it, that the runner process (or Pod) is known to be gone. It is a
	// verdict only where no result was stored.
	EventExited EventType = "exited"
)

// ExitRefused is the exit code of a runner that executed nothing, because its start was refused or another runner of the
// same attempt was first. It says nothing about that other runner.
const ExitRefused = 75

// Stage is where an attempt is between its start and its result.
type Stage string

// The stages in their order.
const (
	StageFetch  Stage = "fetch"  // inputs are being fetched and unpacked
	StageInit   Stage = "init"   // terraform init
	StagePlan   Stage = "plan"   // terraform plan
	StageApply  Stage = "apply"  // terraform apply
	StageUpload Stage = "upload" // plan or state is being stored
)

// Event is one status message about one attempt. Events are idempotent and order-tolerant: (AttemptID, Source, Seq)
// identifies one, and an event of a closed attempt changes nothing.
type Event struct {
	V           int       `json:"v"`
	Type        EventType `json:"type"`
	AttemptID   string    `json:"attempt_id"` // att-…
	RunID       string    `json:"run_id"`
	WorkspaceID string    `json:"workspace_id"`
	Source      string    `json:"source"` // "runner" or "worker": each counts its own Seq
	Seq         int       `json:"seq"`    // from 1
	At          time.Time `json:"at"`     // the sender's clock; never used to order or to judge
	Stage       Stage     `json:"stage,omitempty"`
	ExitCode    int       `json:"exit_code,omitempty"` // of the runner, for EventExited; -1 when a signal ended it
	// NotBegun tells with EventExited that no apply was executed: neither of this attempt nor of one that its runner was to go
	// on with. The worker saw the runner from its start to its end and knows what it came to.
	NotBegun bool `json:"not_begun,omitempty"`
	// Message tells people, with EventExited, why the runner ended or never was, where more is known than its exit code.
	Message string `json:"message,omitempty"`
	// Final tells, of an attempt that never started, that another one would end the same way: Message says what to change first.
	Final bool `json:"final,omitempty"`
}

// ID is the event's deduplication id, used as Nats-Msg-Id and as the key in the run's history.
func (e Event) ID() string { return fmt.Sprintf("%s/%s/%d", e.AttemptID, e.Source, e.Seq) }

// Validate reports the first field that makes the event unusable.
func (e Event) Validate() error {
	if !ValidID(e.AttemptID, "att-") {
		return fmt.Errorf("event message: field attempt_id: %q is not an att-… id", e.AttemptID)
	}
	if !ValidID(e.RunID, "run-") {
		return fmt.Errorf("event message: field run_id: %q is not a run-… id", e.RunID)
	}
	if e.Seq < 1 || e.Source == "" || e.Type == "" {
		return fmt.Errorf("event message: fields type, source and seq (from 1) are required")
	}
	return nil
}

// Command is what the server tells a running attempt. It is repeated until the attempt confirms by ending, and every API
// answer to the attempt carries the same facts, so a lost command costs at most one repetition.
type Command struct {
	V         int    `json:"v"`
	AttemptID string `json:"attempt_id"`
	// Cancel asks for one SIGINT to terraform and an orderly end; Force asks for the whole process tree to be killed.
	Cancel bool `json:"cancel,omitempty"`
	Force  bool `json:"force,omitempty"`
}

// Headers of a log chunk on the LOGS stream. The payload is the raw bytes Terraform printed.
const (
	// HeaderOffset is the decimal position of the chunk's first byte in the attempt's log.
	HeaderOffset = "Gantry-Log-Offset"
	// HeaderEnd is set on the last message of an attempt's log, whose payload is empty and whose offset is the log's size.
	HeaderEnd = "Gantry-Log-End"
	// HeaderSHA256 stands on the last message: the hex digest of the whole log of the attempt.
	HeaderSHA256 = "Gantry-Log-Sha256"
)

// MaxLogChunk is the largest payload of one log message in bytes; NATS refuses messages above 1 MiB.
const MaxLogChunk = 64 << 10
