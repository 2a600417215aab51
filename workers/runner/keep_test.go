package runner

import (
	"fmt"
	"os"
	"testing"

	"gantry.example/internal/wire"
)

// TestAnOlderStateNeverReplacesASavedOne: whoever follows the state may have read one that is older than what terraform saved
// meanwhile.
func TestAnOlderStateNeverReplacesASavedOne(t *testing.T) {
	t.Parallel()
	state := func(serial int64) []byte {
		return fmt.Appendf(nil, `{"version":4,"serial":%d,"lineage":"lin"}`, serial)
	}
	for _, c := range []struct{ saved, kept, want int64 }{{14, 13, 14}, {14, 14, 14}, {13, 14, 14}, {0, 1, 1}} {
		f := folder{t.TempDir()}
		s := &stateStore{file: f.savedState()}
		if c.saved > 0 {
			s.current = state(c.saved)
			if err := os.WriteFile(s.file, s.current, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		sync := &stateSync{folder: f, store: s}
		if err := sync.keep(state(c.kept), wire.StateRef{Serial: c.kept, Lineage: "lin"}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(s.file)
		if err != nil || string(got) != string(state(c.want)) {
			t.Errorf("saved %d, then kept %d: got %s (%v), want %d", c.saved, c.kept, got, err, c.want)
		}
	}
}
