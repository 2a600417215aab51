package terraform_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gantry.example/workers/terraform"
)

// TestSavesEachStep: the terraform of this machine does, the answer is remembered, and a program that is none does not.
func TestSavesEachStep(t *testing.T) {
	t.Parallel()
	e, cache := engine(t), t.TempDir()
	for _, when := range []string{"first", "again"} {
		if got, err := terraform.SavesEachStep(t.Context(), e, cache); err != nil || !got {
			t.Errorf("%s: got %v, %v, want true", when, got, err)
		}
	}
	broken := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if got, err := terraform.SavesEachStep(t.Context(), terraform.Engine{Path: broken}, cache); err != nil || got {
		t.Errorf("broken program: got %v, %v, want false", got, err)
	}
}

// states counts the states that are posted to it.
type states struct {
	mu    sync.Mutex
	posts int
}

func (s *states) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
}

// TestSaveEvery: with a pause between saves there are fewer of them than resources, and more than the one of the end.
func TestSaveEvery(t *testing.T) {
	t.Parallel()
	chain := `resource "terraform_data" "r" {
	  count = 30
	  provisioner "local-exec" { command = "sleep 0.$((${count.index} % 10))" }
	}`
	for _, tt := range []struct {
		every    time.Duration
		min, max int
	}{{0, 10, 100}, {400 * time.Millisecond, 2, 5}, {time.Minute, 1, 1}} {
		t.Run(tt.every.String(), func(t *testing.T) {
			t.Parallel()
			var posted states
			server := httptest.NewServer(&posted)
			t.Cleanup(server.Close)
			cfg := work(t, map[string]string{"main.tf": chain})
			cfg.StateURL, cfg.SaveEvery = server.URL, tt.every
			s, plan := planned(t, cfg)
			if err := s.Apply(t.Context(), plan); err != nil {
				t.Fatalf("apply: %v\n%s", err, read(t, cfg.Output))
			}
			server.Close()
			if posted.posts < tt.min || posted.posts > tt.max {
				t.Errorf("got %d saves, want %d to %d", posted.posts, tt.min, tt.max)
			}
		})
	}
}

func TestSaveEveryOfAPlan(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		count string
		each  bool
	}{{"100", true}, {"1000", false}} {
		cfg := work(t, map[string]string{"main.tf": "resource \"terraform_data\" \"r\" {\n count = " + tt.count + "\n input = count.index\n}"})
		_, plan := planned(t, cfg)
		if got, err := terraform.SaveEvery(plan); err != nil || (got == 0) != tt.each {
			t.Errorf("%s resources: got %v, %v, want after each: %v", tt.count, got, err, tt.each)
		}
	}
	if _, err := terraform.SaveEvery(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing plan: got no error")
	}
}

func TestNewestState(t *testing.T) {
	t.Parallel()
	const one, two = `{"serial":1,"lineage":"l"}`, `{"serial":2,"lineage":"l"}`
	for name, tt := range map[string]struct {
		file, errored, kept string
		want                string
		damaged             bool
	}{
		"nothing":           {},
		"file":              {file: two, kept: one, want: two},
		"kept":              {file: `{"serial":3,"li`, kept: one, want: one},
		"truncated":         {kept: one, want: one},
		"errored":           {file: one, errored: two, kept: one, want: two},
		"errored is older":  {errored: one, kept: two, want: two},
		"nothing but waste": {file: `{"serial":3,"li`, want: `{"serial":3,"li`, damaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			kept := filepath.Join(dir, "kept")
			for path, content := range map[string]string{"terraform.tfstate": tt.file, "errored.tfstate": tt.errored, "kept": tt.kept} {
				if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, _, err := terraform.NewestState(nil, dir, kept)
			if string(got) != tt.want || (err != nil) != tt.damaged {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}
