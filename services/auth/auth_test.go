package auth_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/bus/broker"
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
	of := func(role postgres.Role) (postgres.Token, string) {
		t.Helper()
		made, secret, err := w.DB.CreateToken(t.Context(), postgres.NewToken{Description: "bot", OrganizationID: w.Workspace.OrganizationID, Role: role})
		if err != nil {
			t.Fatal(err)
		}
		return made, secret
	}
	_, producer := of(postgres.RoleWrite)
	_, reader := of(postgres.RoleRead)
	_, planner := of(postgres.RolePlan)
	ended, revoked := of(postgres.RoleAdmin)
	if err := w.DB.RevokeToken(t.Context(), postgres.Token{Kind: postgres.TokenAdmin}, ended.ID); err != nil {
		t.Fatal(err)
	}
	name := "agents"
	pool, err := w.DB.CreatePool(t.Context(), "default", postgres.PoolChange{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	agents := func(life time.Duration) (postgres.Token, string) {
		t.Helper()
		made, secret, err := w.DB.CreateToken(t.Context(), postgres.NewToken{Description: "agents", PoolID: pool.ID, Life: life})
		if err != nil {
			t.Fatal(err)
		}
		return made, secret
	}
	_, agent := agents(0)
	_, expired := agents(time.Microsecond)
	withdrawn, revokedAgent := agents(0)
	if err := w.DB.RevokeToken(t.Context(), postgres.Token{Kind: postgres.TokenAdmin}, withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	runner := func(id, runID, key string) broker.Identity {
		return broker.Identity{Kind: broker.KindRunner, Pool: messages.LocalPool, Name: id, WorkspaceID: w.Workspace.ID, RunID: runID, Key: key}
	}
	for name, tt := range map[string]struct {
		token, client string
		want          broker.Identity // zero: refused
	}{
		"worker":                 {"worker", "host-1", broker.Identity{Kind: broker.KindWorker, Pool: messages.LocalPool, Name: "host-1"}},
		"agent":                  {agent, "build-7", broker.Identity{Kind: broker.KindWorker, Pool: pool.ID, Name: "build-7"}},
		"agent expired":          {expired, "build-7", broker.Identity{}},
		"agent revoked":          {revokedAgent, "build-7", broker.Identity{}},
		"runner":                 {exclusive.Token, a.ID, runner(a.ID, a.RunID, w.Workspace.ID)},
		"runner of plan only":    {planOnly.Token, b.ID, runner(b.ID, b.RunID, b.RunID)},
		"runner under another":   {exclusive.Token, b.ID, broker.Identity{}},
		"producer":               {producer, "any name at all", broker.Identity{Kind: broker.KindProducer, Name: w.Workspace.OrganizationID}},
		"reader":                 {reader, "board", broker.Identity{Kind: broker.KindReader, Name: w.Workspace.OrganizationID}},
		"producer that may plan": {planner, "bot", broker.Identity{}},
		"producer revoked":       {revoked, "bot", broker.Identity{}},
		"person":                 {"person", "laptop", broker.Identity{}},
		"unknown":                {"guess", "host-1", broker.Identity{}},
		"none":                   {"", "host-1", broker.Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auth.NewNATS(w.DB).Authenticate(t.Context(), tt.token, tt.client)
			if refused := tt.want == (broker.Identity{}); refused != (err != nil) {
				t.Errorf("got error %v, want one: %v", err, refused)
			}
			if got != (broker.Identity{}) && (got.TokenID == "") != (got.Kind == broker.KindRunner) {
				t.Errorf("token id: got %q, want that of a token that can be revoked", got.TokenID)
			}
			got.TokenID = ""
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("identity differs (-want +got):\n%s", diff)
			}
		})
	}
}
