package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// A plan's JSON form is for machines, and for people who look at a plan later. Making it takes the engine about as long as the
// plan did. A plan that waits for approval is described at once: nothing else is to be done, and whoever approves it may want to
// see it. Beside an apply that follows at once it would take processor time away from what somebody waits for, so it is left
// to whoever started this runner, to be made when the machine has time; but not for long: an apply that takes its time
// (Assignment.DescribeAfter) is described meanwhile.

// describeNowOrLater makes the plan's JSON form, or leaves it and what it takes in the folders.
func (r *attempt) describeNowOrLater(ctx context.Context) {
	if r.next != nil && r.DescribeAfter > 0 {
		soon := time.NewTimer(r.DescribeAfter)
		defer soon.Stop()
		select {
		case <-r.next.attempt.idle:
			r.owing = true
			return
		case <-r.next.done: // it did not even begin
			r.owing = true
			return
		case <-soon.C:
		}
	}
	if err := r.publishPlanJSON(ctx, r.session); err != nil {
		r.log.Warn("the plan's JSON form was not stored", "error", err)
	}
}

// publishPlanJSON stores the plan for machines. No run fails by it.
func (r *attempt) publishPlanJSON(ctx context.Context, session *terraform.Session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.OfflineLimit)
	defer cancel()
	f, err := os.CreateTemp(r.Dir, "plan-json-")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // it has secrets; whatever happens to this process, none stays
		return err
	}
	if err := session.ShowPlanJSON(ctx, r.workFolder.plan(), f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return r.api.PutPlanJSON(ctx, f, info.Size())
}

// describe makes the JSON form that an earlier runner of the attempt left for later, stores it, and removes what was kept for it.
func (r *attempt) describe(ctx context.Context) error {
	r.stop = &stopper{cancel: func(error) {}}
	if err := r.openAPI(); err != nil {
		return err
	}
	defer r.closeAPI()
	r.workFolder = workFolder{dir: filepath.Join(r.Work, r.in.AttemptID)}
	if err := r.workFolder.hold(); err != nil {
		return fmt.Errorf("what the plan left is gone: %w", err)
	}
	if err := r.describeIn(ctx); err != nil {
		return errors.Join(remote(err, "the plan's JSON form was not stored"), r.workFolder.leave(false))
	}
	return errors.Join(r.folder.drop("owed"), r.folder.forget(), r.workFolder.giveUp())
}

// describeIn does it in the folders as they were left.
func (r *attempt) describeIn(ctx context.Context) error {
	root, err := WorksIn(r.Dir)
	if err != nil {
		return err
	}
	program, err := shimProgram(r.cfg.Shim, r.folder)
	if err != nil {
		return err
	}
	r.session, err = terraform.ResumeSession(terraform.SessionConfig{
		Shim: program, Dir: r.Dir, Root: root, Grace: time.Duration(r.in.GraceSeconds) * time.Second, OwnChildren: r.cfg.Dedicated,
	})
	if err != nil {
		return err
	}
	defer r.endSession()
	return r.publishPlanJSON(ctx, r.session)
}

// Owes reports whether the JSON form of the plan in the folder dir (Assignment.Dir) is left to be made, and if so what a runner has
// to be told that makes it.
func Owes(dir string) (Assignment, bool) {
	f := folder{dir}
	var a Assignment
	if !f.has("owed") {
		return a, false
	}
	b, err := os.ReadFile(f.path("assignment.json"))
	if err != nil || json.Unmarshal(b, &a) != nil || a.Claim.Inputs.Phase != messages.PhasePlan {
		return a, false
	}
	a.Describe = true
	return a, true
}
