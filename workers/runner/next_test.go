package runner_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// TestARunnerCarriesOnWithItsApply: in the plan's folder, or, if that is of no use after all, in one of its own; and an apply
// that cannot even begin is reported, because the server counts it as started.
func TestARunnerCarriesOnWithItsApply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, b *bundle, apply string)
		want  wire.Outcome
		order []string
	}{
		"warm": {nil, wire.OutcomeSucceeded, []string{"start", "plan", "result", "state", "result"}},
		"small plan": {func(_ *testing.T, b *bundle, _ string) {
			if len(b.results) != 1 || len(b.results[0].Plan) == 0 {
				b.t.Errorf("got results %+v, want one with the plan", b.results)
			}
		}, wire.OutcomeSucceeded, []string{"start", "result", "state", "result"}},
		"cold": {func(t *testing.T, b *bundle, _ string) {
			remove(t, filepath.Join(b.assign.Work, b.assign.Claim.AttemptID, "ready.json"))
		}, wire.OutcomeSucceeded, []string{"start", "plan", "result", "state", "result"}},
		"no room": {func(t *testing.T, _ *bundle, apply string) {
			if err := os.WriteFile(apply, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, wire.OutcomeFailed, []string{"start", "plan", "result", "result"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
			b.assign.Work = t.TempDir()
			if name == "small plan" {
				b.assign.Claim.Inputs.PlanLimit = 1 << 20
			}
			next, apply := b.nextApply()
			b.next = func(wire.Result) *wire.Claim {
				if c.spoil != nil {
					c.spoil(t, b, filepath.Join(filepath.Dir(b.assign.Dir), next.AttemptID))
				}
				return &next
			}
			b.run(t, runner.ExitDelivered)
			if len(b.results) != 2 || b.results[1].Outcome != c.want {
				t.Fatalf("got results %+v, want the plan's and one that %s\n%s", b.results, c.want, apply.log)
			}
			if b.bus.released != 0 || b.bus.left != 1 {
				t.Errorf("the plan's lease: released %d times and left %d times, want it left to the apply", b.bus.released, b.bus.left)
			}
			withoutJSON := func(order []string) (out []string) { // it may come at any time
				for _, call := range order {
					if call != "plan-json" {
						out = append(out, call)
					}
				}
				return out
			}
			if diff := cmp.Diff(c.order, withoutJSON(b.order)); diff != "" {
				t.Errorf("order of calls (-want +got):\n%s", diff)
			}
			if b.planJSON == nil {
				t.Error("the plan's JSON form was not stored")
			}
			if applied := strings.Contains(string(b.state), `"name": "a"`); applied != (c.want == wire.OutcomeSucceeded) {
				t.Errorf("got state %s", b.state)
			}
			if _, owes := runner.Owes(b.assign.Dir); owes {
				t.Error("got a plan left to be described, which nobody has to do here")
			}
			if went, _ := runner.Next(b.assign.Dir); c.want == wire.OutcomeSucceeded && went != next.AttemptID {
				t.Errorf("the plan's folder says that its runner went on with %q, want %s", went, next.AttemptID)
			}
		})
	}
}

// nextApply is the claim of the apply of the bundle's plan, and the bus that its runner connects to.
func (b *bundle) nextApply() (wire.Claim, *fakeBus) {
	next, plan, apply := b.assign.Claim, b.bus, newBus()
	next.AttemptID, next.Epoch = messages.NewID("att-"), 2
	next.Inputs.AttemptID, next.Inputs.Phase, next.Inputs.Epoch = next.AttemptID, messages.PhaseApply, 2
	next.Inputs.PlanAttemptID = b.assign.Claim.AttemptID
	b.cfg.Connect = func(ctx context.Context, a runner.Assignment) (runner.Bus, error) {
		if a.Claim.AttemptID == next.AttemptID {
			return apply.connect(ctx, a)
		}
		return plan.connect(ctx, a)
	}
	return next, apply
}
