package run

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gantry.example/messages"
)

// WaitReason names what a run waits for. Readers show the text of one they do not know.
type WaitReason string

// The reasons.
const (
	WaitBehindRun     WaitReason = "behind_run"      // another run of the workspace has its gate
	WaitOutcome       WaitReason = "outcome_unknown" // so has a run whose outcome nobody knows
	WaitLocked        WaitReason = "locked"          // a person locked the workspace
	WaitApproval      WaitReason = "approval"        // somebody has to apply or discard it
	WaitStart         WaitReason = "starting"        // a worker took the task and is about to start it
	WaitNoWorker      WaitReason = "no_worker"       // no worker of the pool is there
	WaitWorkersRefuse WaitReason = "workers_refuse"  // the pool's workers take nothing, such as for a full disk
	WaitNoLabels      WaitReason = "no_labels"       // no worker of the pool offers the labels
	WaitNoSlot        WaitReason = "no_free_slot"    // they are all busy
	WaitQueue         WaitReason = "queued"          // a free worker will take it in a moment
)

// Waiting is why a run does not go on. The zero value is for a run that does, or is over.
type Waiting struct {
	Reason WaitReason `json:"reason,omitempty"`
	Text   string     `json:"text,omitempty"` // the same for people: one or two sentences
	Since  *time.Time `json:"since,omitempty"`
	// Behind is the id of the run that is waited for.
	Behind string `json:"behind,omitempty"`
	// Ahead counts what comes first: runs of the workspace, or tasks of the pool.
	Ahead int `json:"ahead,omitempty"`
}

// Surroundings are the facts around a run that decide what it waits for.
type Surroundings struct {
	Workspace  string // its name, ORG/NAME
	LockedBy   string // empty: no person locked the workspace
	LockReason string
	Gate       *Run // that has the workspace's gate, if another one does
	Ahead      int  // pending runs of the workspace, or queued tasks of the pool, that are older
	PoolName   string
	Workers    []WorkerStatus
	Placing    string // what keeps a claimed task from starting, in the words of who places it; empty if nobody says
}

// WorkerStatus is what a worker said about itself a moment ago.
type WorkerStatus struct {
	Name     string
	Slots    int
	Busy     int
	Refusing string // why it takes nothing; empty if it does
	Draining bool   // that is because it ends, or was asked to
	Labels   []string
}

// Waits says what the run waits for. Every reason has its place here, and only here: API, CLI and pages show the answer.
func (r Run) Waits(s Surroundings) Waiting {
	w := Waiting{}
	switch r.Status {
	case Pending, Confirmed:
		w = r.waitsForGate(s)
	case PlanQueued, ApplyQueued:
		w = r.waitsForWorker(s)
	case Planned:
		w = Waiting{Reason: WaitApproval, Text: "The plan is ready and waits for approval: apply or discard it. Other runs of the workspace wait until then."}
	case PlannedAndSaved:
		w = Waiting{Reason: WaitApproval, Text: "The plan is saved until somebody applies or discards it. Other runs of the workspace go on; once one has changed the state, the plan can't be applied any more."}
	default:
		return w
	}
	if at, ok := r.Timestamps[r.Status]; ok {
		w.Since = &at
	}
	return w
}

func (r Run) waitsForGate(s Surroundings) Waiting {
	w := Waiting{Reason: WaitBehindRun, Ahead: s.Ahead}
	lock := ""
	if s.LockedBy != "" {
		lock = fmt.Sprintf("Workspace %s is locked by %s%s", s.Workspace, s.LockedBy, inBrackets(s.LockReason))
	}
	switch {
	case s.Gate != nil && s.Gate.OutcomeUnknown:
		w.Reason = WaitOutcome
		w.Text = fmt.Sprintf("Workspace %s is locked: nobody knows what the apply of run %s changed. Compare the saved state with reality: gantry runs recover %[2]s.",
			s.Workspace, s.Gate.ID)
	case s.Gate != nil && s.Gate.Status == Planned:
		w.Text = fmt.Sprintf("Behind run %s, which waits for approval.", s.Gate.ID)
	case s.Gate != nil:
		w.Text = fmt.Sprintf("Behind run %s, which is %s.", s.Gate.ID, strings.ReplaceAll(string(s.Gate.Status), "_", " "))
	case lock != "":
		w.Reason, w.Text = WaitLocked, lock+". It begins when the workspace is unlocked."
	case s.Ahead > 0:
		w.Text = "Behind older runs of the workspace."
	default:
		return Waiting{Reason: WaitQueue, Text: "About to be queued."}
	}
	if s.Gate != nil {
		w.Behind = s.Gate.ID
		w.Ahead++
		if lock != "" {
			w.Text += " " + lock + ", too."
		}
	}
	if s.Ahead > 0 && s.Gate != nil {
		w.Text += " " + count(s.Ahead, "other run comes", "other runs come") + " first."
	}
	return w
}

func (r Run) waitsForWorker(s Surroundings) Waiting {
	t := r.Tasks()[len(r.Tasks())-1]
	if a := t.Last(); a != nil && a.Open() {
		if s.Placing != "" {
			return Waiting{Reason: WaitStart, Text: fmt.Sprintf("Worker %s took the %s and waits to start it: %s", a.Worker, t.Phase, s.Placing)}
		}
		return Waiting{Reason: WaitStart, Text: fmt.Sprintf("Worker %s took the %s and is about to start it.", a.Worker, t.Phase)}
	}
	w := Waiting{Ahead: s.Ahead}
	w.Reason, w.Text = r.waitsInPool(t, s)
	if a := t.Last(); a != nil && a.CloseReason != "" {
		w.Text += fmt.Sprintf(" The last try ended%s.", inBrackets(a.CloseReason))
	}
	if s.Ahead > 0 {
		w.Text += " " + count(s.Ahead, "older task is", "older tasks are") + " queued there."
	}
	return w
}

// waitsInPool says why no worker of the pool has taken the task.
func (r Run) waitsInPool(t *Task, s Surroundings) (WaitReason, string) {
	pool, who, taking := "pool "+cmp.Or(s.PoolName, r.Pool), "worker", WorkerStatus{} // taking: all that take tasks, together
	switch r.Execution.Mode {
	case messages.ModeAgent:
		who = "agent"
	case messages.ModeK8s:
		pool, who = "k8s config "+cmp.Or(s.PoolName, r.Pool), "dispatcher"
	}
	able, refusing := 0, []WorkerStatus{}
	for _, w := range s.Workers {
		switch {
		case !messages.LabelsSatisfied(r.Execution.RequiredLabels, w.Labels):
			continue
		case w.Refusing != "":
			refusing = append(refusing, w)
		default:
			taking.Slots, taking.Busy = taking.Slots+w.Slots, taking.Busy+w.Busy
		}
		able++
	}
	switch {
	case len(s.Workers) == 0:
		return WaitNoWorker, fmt.Sprintf("No %s of %s is connected. Start one, or see why it is not.", who, pool)
	case able == 0:
		return WaitNoLabels, r.lackedLabels(who, pool, s.Workers)
	case able == len(refusing) && !slices.ContainsFunc(refusing, func(w WorkerStatus) bool { return !w.Draining }):
		return WaitWorkersRefuse, fmt.Sprintf("Every %s of %s that could take it is draining: it ends what it does and takes nothing new. Start another.", who, pool)
	case able == len(refusing):
		last := refusing[len(refusing)-1]
		return WaitWorkersRefuse, fmt.Sprintf("No %s of %s takes anything at present: %s (%s).", who, pool, last.Name, last.Refusing)
	case taking.Busy >= taking.Slots && r.Execution.Mode == messages.ModeK8s: // their slots are not Pods: those have a limit of their own
		return WaitNoSlot, fmt.Sprintf("The dispatchers of %s are making %d Pods at the same time, as many as they can. The next task is taken when one of them is made.", pool, taking.Busy)
	case taking.Busy >= taking.Slots:
		return WaitNoSlot, fmt.Sprintf("No free slot: %s carries out %d of at most %d tasks.", pool, taking.Busy, taking.Slots)
	}
	return WaitQueue, fmt.Sprintf("The %s is queued, waiting for a free %s of %s.", t.Phase, who, pool)
}

// lackedLabels says which labels nobody offers, and who lacks the fewest.
func (r Run) lackedLabels(who, pool string, workers []WorkerStatus) string {
	lacks := func(w WorkerStatus) []string {
		return slices.DeleteFunc(slices.Clone(r.Execution.RequiredLabels), func(l string) bool { return slices.Contains(w.Labels, l) })
	}
	closest := slices.MinFunc(workers, func(a, b WorkerStatus) int { return len(lacks(a)) - len(lacks(b)) })
	return fmt.Sprintf("No %s in %s offers [%s]; closest: %s lacks %s. Start one with these labels, or change required_labels for new runs.",
		who, pool, strings.Join(r.Execution.RequiredLabels, ", "), closest.Name, strings.Join(lacks(closest), ", "))
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + strings.TrimRight(text, ".") + ")"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
