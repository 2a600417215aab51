package e2e_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// tookLittle checks that the server took no more memory for something large, since it took before, than a few of its parts need.
func (s *server) tookLittle(before int, what string) {
	s.t.Helper()
	grown := s.peak() - before
	s.t.Logf("the server took %d MiB more for %s", grown/mebibyte, what)
	if grown > 150*mebibyte {
		s.t.Errorf("the server took %d MiB more for %s, want 150 at most", grown/mebibyte, what)
	}
}

// letters are so many bytes of text that cannot be compressed well.
func letters(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(out) // never fails
	for i, b := range out {
		out[i] = 'A' + b%32
	}
	return bytes.ReplaceAll(out, []byte(`\`), []byte("z"))
}

// TestLargeConfiguration: a configuration of which 200 MiB cannot be compressed is uploaded and run, and costs the server little memory.
func TestLargeConfiguration(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const ws = "default/large"
	s.must("run", config(t, `output "small" { value = 0 }`), "-w", ws, "--auto-approve")
	dir := config(t, `output "large" { value = filesha256("random") }`)
	random := make([]byte, 200*mebibyte)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random) // never fails
	if err := os.WriteFile(filepath.Join(dir, "random"), random, 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.peak()
	s.must("run", dir, "-w", ws, "--auto-approve")
	s.tookLittle(before, "a configuration of 200 MiB")
}

// TestLargeState: a state of 50 MiB is stored by an apply, given to the next plan and downloaded, and costs the server little memory.
func TestLargeState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	const ws = "default/large"
	s.must("run", config(t, `output "small" { value = 0 }`), "-w", ws, "--auto-approve")
	dir := config(t, `
resource "terraform_data" "large" {
  count = 20
  input = sensitive(file("text")) # so that the log has none of it
}`)
	text := letters(mebibyte * 5 / 4) // which a state has twice
	if err := os.WriteFile(filepath.Join(dir, "text"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	before := s.peak()
	s.must("run", dir, "-w", ws, "--auto-approve")
	s.tookLittle(before, "a state of 50 MiB from a run")
	got := s.must("state", "pull", ws)
	if n := bytes.Count([]byte(got.stdout), text); n != 40 {
		t.Errorf("the state has %d bytes and the text %d times, want 40", len(got.stdout), n)
	}
	s.must("run", dir, "-w", ws, "--auto-approve")
	s.tookLittle(before, "the same, given out")
}
