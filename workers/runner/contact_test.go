package runner_test

import (
	"strings"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// TestAnApplyThatIsCutOff: without its lease an apply goes on as long as the server answers and says that it counts.
func TestAnApplyThatIsCutOff(t *testing.T) {
	t.Parallel()
	files := map[string]string{"main.tf": slow}
	plan := planOf(t, files)
	for _, tt := range []struct {
		name string
		cut  func(*bundle)
		want wire.Result
	}{
		{"for longer than the offline limit", func(b *bundle) { b.down = true }, wire.Result{Outcome: wire.OutcomeFailed, Code: messages.CodeRunOffline}},
		{"and superseded", func(b *bundle) { b.superseded = true }, wire.Result{Outcome: wire.OutcomeCanceled, Code: messages.CodeRunCanceled}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhaseApply, files)
			b.plan, b.assign.OfflineLimit = plan, 2*time.Second
			ended := make(chan int, 1)
			go func() { ended <- runner.Run(t.Context(), b.assign, b.cfg) }()
			b.bus.await(t, "(local-exec): waiting")
			b.set(func() { close(b.bus.lost); tt.cut(b) })
			b.bus.await(t, "Interrupt received.")
			b.set(func() { b.down = false })
			if code := <-ended; code != runner.ExitDelivered {
				t.Fatalf("exit code: got %d\n%s", code, b.bus.log)
			}
			got := b.onlyResult(t)
			if got.Outcome != tt.want.Outcome || got.Code != tt.want.Code {
				t.Errorf("got %+v, want %s with %s", got, tt.want.Outcome, tt.want.Code)
			}
			if got.State == nil || !strings.Contains(string(b.state), `"name": "a"`) {
				t.Errorf("the finished resource is not in the stored state: %s", b.state)
			}
		})
	}
}
