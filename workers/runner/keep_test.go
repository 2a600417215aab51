package runner

import (
	"bytes"
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
		s := &stateStore{}
		s.files, _ = openStatePair(f.savedState(), f.otherState())
		if c.saved > 0 {
			if err := s.save(bytes.NewReader(state(c.saved))); err != nil {
				t.Fatal(err)
			}
		}
		sync := &stateSync{folder: f, store: s}
		if err := sync.keep(state(c.kept), wire.StateRef{Serial: c.kept, Lineage: "lin"}); err != nil {
			t.Fatal(err)
		}
		_, got := openStatePair(f.savedState(), f.otherState())
		if string(got) != string(state(c.want)) {
			t.Errorf("saved %d, then kept %d: got %s, want %d", c.saved, c.kept, got, c.want)
		}
	}
}

// TestAStateIsKeptWhileTheNextIsWritten: a runner may be killed at any byte of it, and the disk may be full.
func TestAStateIsKeptWhileTheNextIsWritten(t *testing.T) {
	t.Parallel()
	f := folder{t.TempDir()}
	state := func(serial int) []byte {
		return fmt.Appendf(nil, `{"version":4,"serial":%d,"lineage":"lin","x":"%010d"}`, serial, serial)
	}
	newest := func() string {
		t.Helper()
		_, b := openStatePair(f.savedState(), f.otherState())
		return string(b)
	}
	p, _ := openStatePair(f.savedState(), f.otherState())
	for i := 1; i <= 3; i++ {
		if err := p.write(state(i)); err != nil {
			t.Fatal(err)
		}
		if got := newest(); got != string(state(i)) {
			t.Fatalf("after serial %d: %s", i, got)
		}
	}
	torn := p.paths[p.next]
	for n := range len(state(4)) {
		if err := os.WriteFile(torn, state(4)[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := newest(); got != string(state(3)) {
			t.Fatalf("with %d bytes of serial 4: %s", n, got)
		}
	}
	p.close()
	p, _ = openStatePair(f.savedState(), f.otherState()) // of the runner that comes after
	if p.paths[p.next] != torn {
		t.Errorf("the next state would be written to %s, which has the last one", p.paths[p.next])
	}
	p.close()
}
