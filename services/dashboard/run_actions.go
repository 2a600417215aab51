package dashboard

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// action is a button below the head of a run.
type action struct {
	Name    string // last element of its form's address
	Text    string
	Tone    string // class of the button: primary, danger, quiet
	Confirm string // what has to be understood before; shown beside the button of a form that opens first
	Comment bool   // takes some words
	Forced  bool   // sends force=yes
}

// forceAfter is how long a cancel gets before the page offers more. The API decides.
const forceAfter = 10 * time.Second

// actions are those that the run is in the state for and the viewer has the role for. The API judges again when one is asked for.
func actions(r run.Run, c *run.Condition, who viewer, at time.Time) []action {
	var out []action
	may := who.Role.Covers
	own := may(postgres.RoleWrite) || may(postgres.RolePlan) && r.CreatedBy == who.Actor && r.Apply == nil
	if r.AsksApproval() && may(postgres.RoleWrite) {
		text := "Approve and apply"
		if r.Recovers != "" {
			text = "Approve: save this state and unlock"
		}
		out = append(out, action{Name: "apply", Text: text, Tone: "primary", Comment: true, Confirm: changeText(r)})
	}
	if (r.AsksApproval() || r.Status == run.Pending) && own {
		out = append(out, action{Name: "discard", Text: "Discard", Tone: "quiet", Comment: true})
	}
	if slices.Contains([]run.Status{run.PlanQueued, run.Planning, run.Confirmed, run.ApplyQueued, run.Applying}, r.Status) && !r.CancelRequested && own {
		a := action{Name: "cancel", Text: "Cancel run", Tone: "danger", Comment: true}
		if r.Status == run.Applying {
			a.Confirm = "Terraform is told to stop once. It ends what it is doing, saves the state and leaves the rest undone."
		}
		out = append(out, a)
	}
	if r.CancelRequested && !r.ForceRequested && !r.Status.Final() && may(postgres.RoleAdmin) && r.CancelAt != nil && at.Sub(*r.CancelAt) >= forceAfter {
		out = append(out, action{Name: "force-cancel", Text: "Force-cancel", Tone: "danger",
			Confirm: "Terraform is killed. What it was doing then may be done and not in the state; the workspace stays locked until somebody recovers the run."})
	}
	if c != nil && c.Recovery == "" && may(postgres.RoleWrite) {
		a := action{Name: "recover", Text: "Recover", Tone: "primary", Comment: true,
			Confirm: "A refresh-only plan shows what the lost apply changed. The workspace stays locked until you approve it."}
		if c.Name == run.ConditionContactLost {
			a.Forced = true
			a.Confirm = "The runner may still be alive and come back. Recover now only if you know that it is gone: nothing it sends later will count."
		}
		out = append(out, a)
	}
	if r.Status.Final() && !r.OutcomeUnknown && r.Recovers == "" && may(needs(r)) {
		out = append(out, action{Name: "retry", Text: "Run again", Tone: "quiet"})
	}
	return out
}

// changeText says what an approval makes happen.
func changeText(r run.Run) string {
	c := countsOf(r)
	if c == nil {
		return ""
	}
	text := fmt.Sprintf("%d to add, %d to change, %d to destroy", c.Add, c.Change, c.Destroy)
	if c.Import > 0 {
		text += fmt.Sprintf(", %d to import", c.Import)
	}
	return text + "."
}

// needs is the role that asking for the run again takes.
func needs(r run.Run) postgres.Role {
	return postgres.NewRun{Options: r.Options}.Needs()
}

// runAction carries out what a button of the run page asks for.
func (s *Server) runAction(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	of, ws, _, err := s.runOf(r, session)
	if err != nil {
		return err
	}
	at := runAddress(ws, of.ID)
	comment := map[string]any{"comment": r.PostForm.Get("comment")}
	switch name := r.PathValue("action"); name {
	case "apply", "discard", "cancel", "force-cancel":
		err = s.call(r, session, "POST", "/api/v2/runs/"+of.ID+"/actions/"+name, comment, nil)
	case "recover":
		comment["force"] = r.PostForm.Get("force") == "yes"
		var recovery run.Run
		if err = s.call(r, session, "POST", "/api/gantry/v1/runs/"+of.ID+"/recover", comment, &recovery); err == nil {
			at = runAddress(ws, recovery.ID)
		}
	case "retry":
		var again run.Run
		if err = s.call(r, session, "POST", "/api/gantry/v1/runs", repeated(of), &again); err == nil {
			at = runAddress(ws, again.ID)
		}
	default:
		err = missing("A run has no action %q.", name)
	}
	if err != nil {
		return back(err, "Back to the run", at)
	}
	http.Redirect(w, r, at, http.StatusSeeOther)
	return nil
}

// repeated asks for the same again: the same configuration and options. Where it executes is what the workspace says now.
// Values that were given with the run are not kept in it.
func repeated(r run.Run) messages.RunRequest {
	o := r.Options
	return messages.RunRequest{
		V: 1, WorkspaceID: r.WorkspaceID, ConfigurationVersionID: r.ConfigurationVersionID, Message: cmp.Or(r.Note, heading(r)),
		Options: messages.RunOptions{
			PlanOnly: o.PlanOnly, AutoApply: o.AutoApply, Destroy: o.Destroy, RefreshOnly: o.RefreshOnly, SkipRefresh: o.SkipRefresh,
			SavePlan: o.SavePlan, TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs,
		},
	}
}

// step is one of the stations of a run, left to right: what it is, how long it took, and who does or did it.
type step struct {
	Title string
	Tone  string
	State string     // done, now, next, skipped
	Took  string     // of one that is over
	Since *time.Time // of the one that is going on
	By    string
}

// steps are the run's way: waiting, plan, approval, apply.
func steps(r run.Run) []step {
	plan, apply := taskStep("Plan", r.Plan, r), taskStep("Apply", r.Apply, r)
	waiting := step{Title: "Queue", State: "now", Tone: "waiting", Since: &r.CreatedAt}
	if began := firstStart(r.Plan); began != nil {
		waiting = step{Title: "Queue", State: "done", Tone: "good", Took: took(began.Sub(r.CreatedAt))}
	} else if r.Status.Final() {
		waiting = step{Title: "Queue", State: "done", Tone: "neutral", Took: took(ended(r).Sub(r.CreatedAt))}
	}
	out := []step{waiting, plan}
	if r.Options.PlanOnly {
		return out
	}
	return append(out, approvalStep(r), apply)
}

func approvalStep(r run.Run) step {
	planned, waited := r.Timestamps[run.Planned]
	if saved, ok := r.Timestamps[run.PlannedAndSaved]; ok {
		planned, waited = saved, true
	}
	switch {
	case r.AsksApproval():
		return step{Title: "Approval", State: "now", Tone: "attention", Since: &planned}
	case r.ConfirmedBy != "" && waited && r.Apply != nil:
		return step{Title: "Approval", State: "done", Tone: "good", Took: took(r.Apply.QueuedAt.Sub(planned)), By: r.ConfirmedBy}
	case r.Apply != nil && !waited:
		return step{Title: "Approval", State: "done", Tone: "good", By: "automatic"}
	case r.Status == run.Discarded && waited:
		return step{Title: "Approval", State: "done", Tone: "neutral", Took: took(ended(r).Sub(planned)), By: "discarded"}
	case r.Status.Final():
		return step{Title: "Approval", State: "skipped", Tone: "neutral"}
	default:
		return step{Title: "Approval", State: "next", Tone: "neutral"}
	}
}

func taskStep(title string, t *run.Task, r run.Run) step {
	out := step{Title: title, State: "next", Tone: "neutral"}
	began := firstStart(t)
	last := t.Last()
	switch {
	case t == nil || began == nil:
		if r.Status.Final() {
			out.State = "skipped"
		}
		return out
	case last.ClosedAt != nil && t.State == run.TaskFinished:
		out.State, out.Took = "done", took(last.ClosedAt.Sub(*began))
		out.Tone = map[string]string{run.Succeeded: "good", run.Stopped: "neutral"}[t.Outcome]
		out.Tone = cmp.Or(out.Tone, "bad")
	case last.State == run.AttemptLost:
		out.State, out.Tone, out.Since = "now", "attention", began
	default:
		out.State, out.Tone, out.Since = "now", "active", began
	}
	out.By = last.Worker
	if last.Number > 1 {
		out.By += fmt.Sprintf(", try %d", last.Number)
	}
	return out
}

// firstStart is when the first attempt of a task began, or nil.
func firstStart(t *run.Task) *time.Time {
	if t == nil {
		return nil
	}
	for _, a := range t.Attempts {
		if a.StartedAt != nil {
			return a.StartedAt
		}
	}
	return nil
}

// ended is when a final run got its status.
func ended(r run.Run) time.Time {
	if at, ok := r.Timestamps[r.Status]; ok {
		return at
	}
	return r.CreatedAt
}
