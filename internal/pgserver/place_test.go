//go:build unix

package pgserver_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.example/internal/pgserver"
)

func place(t *testing.T, dataDir, elsewhere string, user *pgserver.User) string {
	t.Helper()
	got, err := pgserver.Place(dataDir, elsewhere, user)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPlace(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, POSTGRES UNDER ANOTHER USER IS NOT TESTED: only root drops to one; run make test as root")
	}
	user := &pgserver.User{Name: "nobody", UID: 65534, GID: 65534}
	base := filepath.Dir(newHome(t))
	elsewhere := filepath.Join(base, "lib", "gantry")
	hidden := filepath.Join(base, "root", "gantry")
	if err := os.MkdirAll(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := place(t, hidden, elsewhere, user); got != hidden {
		t.Errorf("got %s for a folder the user can enter, want %s", got, hidden)
	}
	if err := os.Chmod(filepath.Dir(hidden), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := place(t, hidden, elsewhere, nil); got != hidden {
		t.Errorf("got %s without another user, want %s", got, hidden)
	}
	outside := place(t, hidden, elsewhere, user)
	if filepath.Dir(outside) != elsewhere {
		t.Errorf("got %s, want a folder in %s", outside, elsewhere)
	}
	start(t, pgserver.Home(outside))

	if err := os.Chmod(filepath.Dir(hidden), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := place(t, hidden, elsewhere, user); got != outside {
		t.Errorf("got %s after a chmod, want still %s", got, outside)
	}
	if err := os.RemoveAll(hidden); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := place(t, hidden, elsewhere, user); got == outside {
		t.Errorf("got %s for a new data folder, want a fresh place", got)
	}
}

func TestPlaceKeepsAnExistingDatabase(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, POSTGRES UNDER ANOTHER USER IS NOT TESTED: only root drops to one; run make test as root")
	}
	dataDir := filepath.Dir(newHome(t))
	if err := os.Mkdir(pgserver.Home(dataDir), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := pgserver.Place(dataDir, t.TempDir(), &pgserver.User{Name: "nobody", UID: 65534, GID: 65534})
	if err == nil || !strings.Contains(err.Error(), "chmod a+x "+dataDir) {
		t.Errorf("got error %v, want one that says which chmod to run", err)
	}
}
