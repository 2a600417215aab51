package run

import (
	"time"

	"gantry.example/messages"
)

// Input is something that happened or is asked for. Transition decides what it means for a run.
type Input interface{ input() }

// The inputs, with who sends them.
type (
	// Create starts a run's life. Sent by the API and the intake.
	Create struct{ Spec Spec }
	// Queue gives the run the gate (or, plan-only, lets it pass beside): its plan may be queued.
	Queue struct{}
	// Claim asks for the queued task. Sent by a worker through the API; Base is the workspace's current state, Epoch the
	// next epoch. Claiming again with the same nonce is no change.
	Claim struct {
		TaskID   string
		Worker   string
		Nonce    string
		Epoch    int64
		Base     StateRef
		Deadline time.Time
	}
	// ExpireClaim closes an attempt that was claimed and did not start in time.
	ExpireClaim struct{ AttemptID string }
	// Start is the fence. Base is what the runner has in its folder, Current what the workspace's state is now.
	Start struct {
		AttemptID     string
		Nonce         string
		Base, Current StateRef
	}
	// Progress reports the stage of a started attempt.
	Progress struct {
		AttemptID string
		Stage     messages.Stage
	}
	// Finish is the stored result of an attempt.
	Finish struct {
		AttemptID        string
		Outcome          string // wire.Outcome
		Code             messages.Code
		Message          string
		HasChanges       bool
		Changes          *Changes
		State            *StateRef
		TerraformVersion string
		// CarryOn, set by a runner that just made a plan, asks to let it carry out the apply that follows at once.
		CarryOn *CarryOn
	}
	// CarryOn is a Claim and a Start in one, for the apply that the plan of the same Finish leads to. What keeps it from being
	// granted leaves the apply on the queue like any other.
	CarryOn struct {
		Nonce    string // of the runner
		Epoch    int64
		Current  StateRef // what the workspace's state is now
		Deadline time.Time
	}
	// Exit tells that the runner of an attempt is known to be gone and left no result.
	Exit struct {
		AttemptID string
		Detail    string // for people: "runner exited with code 1", "host restarted"
		NotBegun  bool   // no apply was executed, neither of this attempt nor of one that continues it
		Final     bool   // of an attempt that never started: another would end the same way, for what Detail says
	}
	// LoseContact tells that the lease of a started attempt is gone.
	LoseContact struct{ AttemptID string }
	// RegainContact tells that a lost attempt holds its lease again.
	RegainContact struct{ AttemptID string }
	// Timeout tells that a started attempt has run for longer than the limit of its phase or, Silent, printed nothing for as
	// long as that. It asks it to stop, as a cancel does.
	Timeout struct {
		AttemptID string
		Limit     time.Duration
		Silent    bool
	}
	// Expire ends a run that has waited longer than it may, for a worker or for approval. Whether it has is decided from the
	// run and the server's defaults when the input is given, so it may be sent to any run.
	Expire struct{ Defaults Patience }
	// GiveUp tells that contact was lost for so long that nobody waits any more.
	GiveUp struct{ AttemptID string }
	// Release frees the workspace of a run whose outcome is unknown, on a person's word. What its runner may still send comes
	// too late then.
	Release struct {
		Comment string
		By      string // the recovery that takes the workspace over, if one does
	}
	// Restored tells that the server came back from a backup taken at At, and knows nothing of what happened since.
	Restored struct{ At time.Time }
	// Recover asks for a recovery of a run whose outcome is unknown, which has the id RunID. Force does not wait any longer for
	// a runner that contact was lost to.
	Recover struct {
		RunID string
		Force bool
	}
	// Withdraw ends a recovery whose reason is gone: a late result came, or somebody freed the workspace. Sent to any other run
	// it changes nothing.
	Withdraw struct{ Why string }
	// Confirm approves a planned run.
	Confirm struct{ Comment string }
	// Discard drops a planned or pending run.
	Discard struct{ Comment string }
	// Cancel asks a run to stop; Force does not wait for terraform.
	Cancel struct {
		Comment string
		Force   bool
	}
)

func (Create) input()        {}
func (Queue) input()         {}
func (Claim) input()         {}
func (ExpireClaim) input()   {}
func (Start) input()         {}
func (Progress) input()      {}
func (Finish) input()        {}
func (Exit) input()          {}
func (LoseContact) input()   {}
func (RegainContact) input() {}
func (Timeout) input()       {}
func (Expire) input()        {}
func (GiveUp) input()        {}
func (Release) input()       {}
func (Restored) input()      {}
func (Recover) input()       {}
func (Withdraw) input()      {}
func (Confirm) input()       {}
func (Discard) input()       {}
func (Cancel) input()        {}

// Outcomes of a task, as wire.Outcome has them.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Stopped   = "canceled"
	Lost      = "lost"
)

// Limits bound automatic repetition.
const (
	MaxUnstarted = 5 // claims in a row that never start
	MaxRetries   = 3 // plans whose runner was lost
	MaxStale     = 3 // plans whose state moved before they started
)

// Refusal is why an input was not granted. The events returned beside it are to be stored all the same.
type Refusal struct {
	Code    messages.Code
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Env is the part of the world a transition needs.
type Env struct {
	Now   time.Time
	Actor string
	// NewID returns a fresh id with the prefix.
	NewID func(prefix string) string
	// SourceID is the id of the message that brought the input, if a message did.
	SourceID string
}
