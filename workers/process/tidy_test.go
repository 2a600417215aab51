package process_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTidyUnderPressure: what can be made again goes, whatever its age; what lives or exists nowhere else stays.
func TestTidyUnderPressure(t *testing.T) {
	t.Parallel()
	dir, e := place(t)
	exits := watch(t, e)
	a := startApply(t, e, dir)
	work := filepath.Join(dir, "work")
	prepared, kept := filepath.Join(work, "runs", "att-prepared"), filepath.Join(work, "kept")
	for _, d := range []string{prepared, kept} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "file"), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	has := func(path string, want bool) {
		t.Helper()
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: got there %v, want %v", path, err == nil, want)
		}
	}
	living := filepath.Join(work, "attempts", a.AttemptID, "attempt.json")
	e.Tidy(false)
	has(prepared, true)
	e.Tidy(true)
	has(prepared, false)
	has(living, true)
	has(filepath.Join(kept, "file"), true)
	finish(t, dir, a.AttemptID, 0)
	<-exits
}
