package runner_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/runner"
)

func TestALongLogIsCutBeforeItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, messages.PhasePlan, map[string]string{"main.tf": `resource "terraform_data" "a" {
  count = 600
  input = "a long line to fill the log ${count.index}"
}`})
	b.assign.LogLimit = 5000
	b.run(t, runner.ExitDelivered)
	whole, err := os.ReadFile(filepath.Join(b.assign.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	got := b.bus.log
	if !bytes.HasPrefix(got, whole[:5000]) || !bytes.HasSuffix(whole, got[len(got)-60_000:]) || len(got) > 5000+64<<10+200 {
		t.Errorf("got %d of %d bytes, want the first 5000, a note and the last lines", len(got), len(whole))
	}
	line := got[5000:][:bytes.IndexByte(got[5001:], '\n')+2]
	left := len(whole) - (len(got) - len(line))
	if want := fmt.Sprintf("\n[Gantry: the log is longer than the 5000 bytes that are stored of one: %d bytes are left out here]\n", left); string(line) != want {
		t.Errorf("note: got %q, want %q", line, want)
	}
	sum := sha256.Sum256(got)
	if result := b.results[0]; b.bus.sha256 != hex.EncodeToString(sum[:]) || result.LogSize != int64(len(got)) || !result.HasChanges {
		t.Errorf("got end %s of %d bytes and result %+v, want those of what is stored", b.bus.sha256, b.bus.size, result)
	}
}
