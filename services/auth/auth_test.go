package auth_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus"
	"gantry.example/internal/pgtest"
	"gantry.example/messages"
	"gantry.example/services/auth"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
	"gantry.example/services/servicestest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestIdentities: a token decides who a client is; what the client calls itself never widens that.
func TestIdentities(t *testing.T) {
	t.Parallel()
	w := servicestest.New(t)
	for token, kind := range map[string]postgres.TokenKind{"person": postgres.TokenAdmin, "worker": postgres.TokenPool} {
		pool := ""
		if kind == postgres.TokenPool {
			pool = messages.LocalPool
		}
		if err := w.DB.EnsureToken(t.Context(), token, kind, pool, "test"); err != nil {
			t.Fatal(err)
		}
	}
	exclusive, a := w.Claim(w.NewRun(run.Options{}).ID)
	planOnly, b := w.Claim(w.NewRun(run.Options{PlanOnly: true}).ID)
	runner := func(id, runID, key string) bus.Identity {
		return bus.Identity{Kind: bus.KindRunner, Pool: messages.LocalPool, Name: id, WorkspaceID: w.Workspace.ID, RunID: runID, Key: key}
	}
	for name, tt := range map[string]struct {
		token, client string
		want          bus.Identity // zero: refused
	}{
		"worker":               {"worker", "host-1", bus.Identity{Kind: bus.KindWorker, Pool: messages.LocalPool, Name: "host-1"}},
		"runner":               {exclusive.Token, a.ID, runner(a.ID, a.RunID, w.Workspace.ID)},
		"runner of plan only":  {planOnly.Token, b.ID, runner(b.ID, b.RunID, b.RunID)},
		"runner under another": {exclusive.Token, b.ID, bus.Identity{}},
		"person":               {"person", "laptop", bus.Identity{}},
		"unknown":              {"guess", "host-1", bus.Identity{}},
		"none":                 {"", "host-1", bus.Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auth.NewNATS(w.DB).Authenticate(t.Context(), tt.token, tt.client)
			if refused := tt.want == (bus.Identity{}); refused != (err != nil) {
				t.Errorf("got error %v, want one: %v", err, refused)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("identity differs (-want +got):\n%s", diff)
			}
		})
	}
}
