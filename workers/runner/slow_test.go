package runner_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// inPieces gives so many pieces of a body of which all are times as many, one at each tick.
func inPieces(pieces, all int, tick time.Duration) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		ticker := time.NewTicker(tick)
		defer ticker.Stop()
		for i := range pieces {
			_, _ = w.Write(body[i*len(body)/all : (i+1)*len(body)/all])
			_ = http.NewResponseController(w).Flush()
			<-ticker.C
		}
	}
}

// TestASlowDownloadIsWaitedFor: what is still coming may take longer than the setup limit.
func TestASlowDownloadIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"configuration", "state"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
			b.assign.SetupLimit = 3 * time.Second
			b.state = []byte(`{"version":4,"terraform_version":"1.5.0","serial":1,"lineage":"l","outputs":{},"resources":[]}`)
			b.slow, b.slowly = what, inPieces(16, 16, 300*time.Millisecond)
			b.run(t, runner.ExitDelivered)
			if got := b.onlyResult(t); got.Outcome != wire.OutcomeSucceeded {
				t.Errorf("got %+v, want success", got)
			}
		})
	}
}

// TestADownloadThatStands ends the attempt when the setup limit is over, without a result.
func TestADownloadThatStands(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": oneResource})
	b.assign.SetupLimit = time.Second
	b.slow, b.slowly = "configuration", inPieces(1, 2, 2*time.Second)
	b.run(t, runner.ExitUnavailable)
	if len(b.results) != 0 || len(b.starts) != 0 {
		t.Errorf("got %d results and %d starts, want none", len(b.results), len(b.starts))
	}
}
