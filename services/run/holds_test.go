package run_test

import (
	"testing"

	"gantry.example/services/run"
)

func TestWhoHoldsTheGate(t *testing.T) {
	t.Parallel()
	for _, st := range states() {
		r := st.get().run
		want := r.Seq > 0 && !r.Options.PlanOnly && r.Status != run.PlannedAndSaved && (r.Recovers == "" || r.Confirmed) &&
			(!r.Status.Final() || r.OutcomeUnknown)
		if got := r.Holds(); got != want {
			t.Errorf("%s: got %t, want %t", st.name, got, want)
		}
	}
	for _, o := range []run.Options{{}, {PlanOnly: true}} {
		if got := effects(tell(o).effects); got != "" {
			t.Errorf("the creation of a run with %+v: got effects %s, want none", o, got)
		}
	}
}
