package runner_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// TestAPlanIsDescribedLater: beside a short apply no JSON form is made, but what it takes stays until another runner makes it.
func TestAPlanIsDescribedLater(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.assign.Work, b.assign.DescribeAfter = t.TempDir(), time.Hour
	next, _ := b.nextApply()
	b.next = func(wire.Result) *wire.Claim { return &next }
	b.run(t, runner.ExitDelivered)
	if len(b.results) != 2 || b.results[1].Outcome != wire.OutcomeSucceeded {
		t.Fatalf("got results %+v, want the plan's and the apply's", b.results)
	}
	if b.planJSON != nil {
		t.Error("the plan was described beside its apply")
	}
	told, owes := runner.Owes(b.assign.Dir)
	if !owes || !told.Describe || told.Claim.Token != b.assign.Claim.Token {
		t.Fatalf("got %t with %+v, want a plan to be described by its token", owes, told)
	}
	if _, undelivered := runner.Undelivered(b.assign.Dir); undelivered {
		t.Error("the plan counts as not delivered")
	}
	work := filepath.Join(b.assign.Work, b.assign.Claim.AttemptID)

	b.assign = told
	b.down = true
	b.assign.OfflineLimit = 1
	b.run(t, runner.ExitUnavailable)
	if _, owes := runner.Owes(b.assign.Dir); !owes {
		t.Fatal("a server that did not answer ended it")
	}
	b.down = false
	b.assign.OfflineLimit = 0
	b.run(t, runner.ExitDelivered)
	if b.planJSON == nil {
		t.Error("the plan's JSON form was not stored")
	}
	if _, owes := runner.Owes(b.assign.Dir); owes {
		t.Error("the plan still counts as one to be described")
	}
	for _, secret := range []string{work, filepath.Join(b.assign.Dir, "assignment.json"), filepath.Join(b.assign.Dir, "exec.json")} {
		if _, err := os.Lstat(secret); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got error %v, want that it is gone", secret, err)
		}
	}
}
