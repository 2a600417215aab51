package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/secrets"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	admin, pool := secrets.NewToken(postgres.PrefixAdmin), secrets.NewToken(postgres.PrefixPool)
	for range 2 { // at every start of the server
		w.ok(w.EnsureToken(ctx, admin, postgres.TokenAdmin, "", "first start"))
		w.ok(w.EnsureToken(ctx, pool, postgres.TokenPool, messages.LocalPool, "local pool"))
	}
	got, err := w.Token(ctx, admin)
	w.ok(err)
	if got.Kind != postgres.TokenAdmin || got.Pool() != "" {
		t.Errorf("got %+v, want an admin token of no pool", got)
	}
	got, err = w.Token(ctx, pool)
	w.ok(err)
	if got.Kind != postgres.TokenPool || got.Pool() != messages.LocalPool {
		t.Errorf("got %+v, want a token of the local pool", got)
	}
	_, err = w.Token(ctx, "gantry-none")
	w.refused(err, messages.CodeUnauthorized)
	if n := w.count(`SELECT count(*) FROM tokens`); n != 2 {
		t.Errorf("tokens: got %d, want 2", n)
	}
	w.raw.MustExec(`UPDATE tokens SET expires_at = now() - interval '1 second'`)
	_, err = w.Token(ctx, admin)
	w.refused(err, messages.CodeUnauthorized)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	admin := secrets.NewToken(postgres.PrefixAdmin)
	w.ok(w.EnsureToken(ctx, admin, postgres.TokenAdmin, "", ""))
	token, err := w.Token(ctx, admin)
	w.ok(err)
	secret, want, err := w.CreateSession(ctx, token, time.Hour)
	w.ok(err)
	got, err := w.Session(ctx, secret)
	w.ok(err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	over, _, err := w.CreateSession(ctx, token, -time.Second)
	w.ok(err)
	_, err = w.Session(ctx, over)
	w.refused(err, messages.CodeUnauthorized)
	_, err = w.Session(ctx, "gantry-se-none")
	w.refused(err, messages.CodeUnauthorized)

	// A session ends with its token, and by logging out, which sweeps the expired ones.
	w.raw.MustExec(`UPDATE tokens SET expires_at = now() - interval '1 second'`)
	_, err = w.Session(ctx, secret)
	w.refused(err, messages.CodeUnauthorized)
	w.raw.MustExec(`UPDATE tokens SET expires_at = NULL`)
	w.ok(w.EndSession(ctx, secret))
	_, err = w.Session(ctx, secret)
	w.refused(err, messages.CodeUnauthorized)
	if n := w.count(`SELECT count(*) FROM sessions`); n != 0 {
		t.Errorf("sessions left: got %d, want 0", n)
	}
}

func TestNamesAreUniqueAndChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	_, err := w.CreateOrganization(ctx, "ACME")
	w.refused(err, messages.CodeNameTaken)
	_, err = w.CreateOrganization(ctx, "a b")
	w.refused(err, messages.CodeInvalid)
	ws := w.workspace("net")
	_, err = w.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "acme", Name: "NET"})
	w.refused(err, messages.CodeNameTaken)
	_, err = w.CreateWorkspace(ctx, postgres.NewWorkspace{Organization: "none", Name: "x"})
	w.refused(err, messages.CodeNotFound)
	other := w.workspace("dns")
	name := "net"
	_, err = w.UpdateWorkspace(ctx, other.ID, postgres.WorkspaceChange{Name: &name})
	w.refused(err, messages.CodeNameTaken)
	_, err = w.UpdateWorkspace(ctx, "ws-none", postgres.WorkspaceChange{})
	w.refused(err, messages.CodeNotFound)
	name, apply := "network", true
	_, err = w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Name: &name, AutoApply: &apply, Execution: &messages.Execution{TerraformVersion: "1.11.4"}})
	w.ok(err)
	got, err := w.WorkspaceByName(ctx, "ACME", "Network")
	w.ok(err)
	target, err := got.Target()
	w.ok(err)
	if got.ID != ws.ID || !got.AutoApply || target.TerraformVersion != "1.11.4" || target.Mode != messages.ModeLocal {
		t.Errorf("got %+v with target %+v, want the change", got, target)
	}
	list, total, err := w.Workspaces(ctx, w.org.ID, postgres.Page{Number: 2, Size: 1})
	w.ok(err)
	if total != 2 || len(list) != 1 || list[0].Name != "network" {
		t.Errorf("second page of one: got %d of %d: %+v, want network of 2", len(list), total, list)
	}
	if _, _, err := w.Workspaces(ctx, w.org.ID, postgres.Page{Number: 1<<63 - 1}); err != nil {
		t.Errorf("a page beyond all: got %v, want none", err)
	}
}

func TestAnArchiveIsImmutable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	ws := w.workspace("net")
	cv, err := w.CreateConfigurationVersion(ctx, postgres.NewConfigurationVersion{WorkspaceID: ws.ID})
	w.ok(err)
	for range 2 {
		cv, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("one")))
		w.ok(err)
	}
	_, err = w.UploadConfiguration(ctx, cv.ID, postgres.InMemory([]byte("two")))
	w.refused(err, messages.CodeConflict)
	_, err = w.UploadConfiguration(ctx, "cv-none", postgres.InMemory([]byte("two")))
	w.refused(err, messages.CodeNotFound)
	stored, err := w.blob(cv.ID, postgres.BlobConfiguration)
	w.ok(err)
	if stored != "one" || cv.Size != 3 || cv.Status != postgres.ConfigurationUploaded {
		t.Errorf("got %q and %+v, want one", stored, cv)
	}
}
