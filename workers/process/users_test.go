package process_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/process"
)

// TestEveryAttemptHasAUserOfItsOwn: ids in use by a folder or an attempt are not given out again, and when there are no more the
// attempt is not started.
func TestEveryAttemptHasAUserOfItsOwn(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, USERS OF RUNS ARE NOT TESTED: only root can have them; run make test as root on Linux")
	}
	const first, last = 2100099100, 2100099104
	dir := t.TempDir()
	t.Cleanup(func() { endRunners(t, dir) })
	planned := filepath.Join(dir, "work", "runs", messages.NewID("att-"), "config")
	if err := os.MkdirAll(planned, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(planned, first+2, first+2); err != nil {
		t.Fatal(err)
	}
	cfg := config(dir)
	cfg.Users = process.Users{First: first, Last: last}
	e := open(t, cfg)
	defer func() { _ = e.Close() }()
	var got []int
	for range 4 {
		a := executortest.NewAttempt(messages.PhasePlan)
		if err := e.StartPlan(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		executortest.Wait(t, "the start", func() bool { return starts(dir, a.AttemptID) == 1 })
		b, err := os.ReadFile(filepath.Join(dir, "scratch", a.AttemptID))
		_, user, found := strings.Cut(strings.TrimSuffix(string(b), "\nstarted\n"), "as ")
		uid, bad := strconv.Atoi(user)
		if err != nil || !found || bad != nil {
			t.Fatalf("the runner was told %q, %v, want a user", b, err)
		}
		got = append(got, uid)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int{first, first + 1, first + 3, first + 4}, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if err := e.StartPlan(t.Context(), executortest.NewAttempt(messages.PhasePlan)); err == nil || !strings.Contains(err.Error(), "larger range") {
		t.Errorf("got error %v, want that there are no more users", err)
	}
}
