package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bug is a mistake that somebody could make in the program, and the circumstances in which it does harm. The judge has to
// find out. Where a second net would catch what the first one lets through, the bug takes both away, and says so.
type bug struct {
	name   string
	edits  []edit
	faults int
	change func(*settings)
	rules  []string // of which one has to be broken
}

// edit replaces a piece of a source file, which must be there once.
type edit struct{ file, old, new string }

// bugs are what must be caught.
func bugs() []bug {
	return []bug{leaseIgnored(), startNotCompared(), ackBeforeCommit(), lostOutboxRow(), staleEpoch(), duplicateEvent()}
}

func leaseIgnored() bug {
	return bug{
		name:   "lease ignored: a plan goes on when its lease is lost",
		edits:  []edit{{"workers/runner/execute.go", "case <-r.link.lease.Lost():", "case <-make(chan struct{}):"}},
		faults: 3,
		change: func(s *settings) { // the other worker has to have room for those that were lost
			s.only, s.workspaces, s.planTakes, s.patience = "cut a worker off at work", 3, 24*time.Second, 90*time.Second
		},
		rules: []string{"exclusive tasks of a workspace never overlap"},
	}
}

func startNotCompared() bug {
	return bug{
		name: "start not compared: who asks may begin, whatever became of the attempt",
		edits: []edit{
			{"services/run/transition.go", "case a == nil || !a.Open():\n", "case a != nil && !a.Open():\n\t\treturn nil\n\tcase a == nil:\n"},
			{"services/postgres/attempts.go", "out.StartedAt = *at.StartedAt\n", "if at.StartedAt != nil {\n\t\t\tout.StartedAt = *at.StartedAt\n\t\t}\n"},
		},
		faults: 12, // which give the users time to cancel claimed attempts
		change: func(s *settings) { s.only, s.hasty = "repeat events", true },
		rules:  []string{"terraform is executed for a started attempt, once", "an apply starts at most once"},
	}
}

func ackBeforeCommit() bug {
	return bug{
		name: "ack before commit: a piece of a log is acknowledged before it is stored",
		edits: []edit{{
			"services/logs/logs.go", "	err := s.store.AppendLog(ctx, chunk)\n",
			"	if err := d.Ack(ctx); err != nil {\n\t\treturn err\n\t}\n	err := s.store.AppendLog(ctx, chunk)\n",
		}},
		faults: 5,
		change: func(s *settings) { s.only, s.quiet = "kill Postgres", 50*time.Second }, // a gap is waited for 45 s
		rules:  []string{"logs are what terraform printed"},
	}
}

func lostOutboxRow() bug {
	return bug{
		name: "lost outbox row: some tasks are never published (and the reconciler looks for none)",
		edits: []edit{{
			"services/relay/relay.go", "		r.fail.Hit(\"relay.before_send.\" + row.Kind)\n",
			"		if row.ID%9 == 0 {\n\t\t\tcontinue\n\t\t}\n\t\tr.fail.Hit(\"relay.before_send.\" + row.Kind)\n",
		}},
		change: func(s *settings) { s.flags = []string{"--republish-after", "1h"} },
		rules:  []string{"every accepted run ends or waits for a person"},
	}
}

func staleEpoch() bug {
	return bug{
		name: "stale epoch's state accepted (and its serial not compared)",
		edits: []edit{
			{"services/postgres/state.go", "current := at != nil && at.Epoch == l.ws.Epoch && at.StartedAt != nil && l.run.TakesResult(a.ID)", "current := at != nil"},
			{"services/postgres/state.go", "have.Lineage != head.Lineage || have.Serial >= head.Serial", "have.Lineage != head.Lineage"},
		},
		faults: 5, // an apply has to be under way there
		change: func(s *settings) {
			s.only, s.lostAfter, s.handsOff = "lose a host", 6*time.Second, 2*time.Second
			s.flags = []string{"--offline-limit", "2s", "--grace", "3s"}
		},
		rules: []string{"states are one line"},
	}
}

func duplicateEvent() bug {
	return bug{
		name: "duplicate event applied: neither its id nor its stage is compared",
		edits: []edit{
			{"services/postgres/project.go", "if l == nil || b.seen[e.ID()] {", "if l == nil {"},
			{"services/postgres/project.go", "SourceID: e.ID()}", "SourceID: e.ID() + messages.NewID(\"-\")}"},
			{"services/run/attempt.go", "if advances(a.Stage, in.Stage) {", "if in.Stage != \"\" {"},
		},
		faults: 3,
		change: func(s *settings) { s.only = "repeat events" },
		rules:  []string{"an event counts once"},
	}
}

// plantAll plants each bug in a program of its own, lets users work with it, and fails unless the judge finds each.
func plantAll(ctx context.Context, s settings, out io.Writer) error {
	var missed error
	for _, b := range bugs() { // also those that are not asked for
		if _, err := b.sources(); err != nil {
			missed = errors.Join(missed, fmt.Errorf("%s: %w", b.name, err))
		}
	}
	if s.fits || missed != nil {
		return missed
	}
	for _, b := range bugs() {
		if s.only != "" && !strings.Contains(b.name, s.only) {
			continue
		}
		began := time.Now()
		err := b.check(ctx, s, out)
		if ctx.Err() != nil {
			return err
		}
		verdict := "CAUGHT"
		if err != nil {
			verdict, missed = "MISSED", errors.Join(missed, fmt.Errorf("%s: %w", b.name, err))
		}
		fmt.Fprintf(out, "chaos: %s in %.0fs: %s\n", verdict, time.Since(began).Seconds(), b.name)
	}
	return missed
}

// check is the whole story of one bug.
func (b bug) check(ctx context.Context, s settings, out io.Writer) error {
	root, err := newRoot()
	if err != nil {
		return err
	}
	s.planted, s.only, s.workspaces, s.agents, s.faults = false, "", 8, 0, b.faults
	s.patience, s.quiet, s.handsOff = 25*time.Second, 5*time.Second, 5*time.Second
	b.change(&s)
	if s.bin, err = b.build(ctx, s.bin, root); err != nil {
		return fmt.Errorf("files in %s: %w", root, err)
	}
	said, err := os.Create(filepath.Join(root, "chaos.log"))
	if err != nil {
		return err
	}
	defer said.Close()
	breaches, err := session(ctx, s, root, said)
	if err != nil {
		return fmt.Errorf("files in %s: %w", root, err)
	}
	for _, breach := range breaches {
		if slices.Contains(b.rules, breach.Rule) {
			fmt.Fprintf(out, "  %s\n", breach)
			return os.RemoveAll(root)
		}
	}
	return fmt.Errorf("none of %q was broken, but %d other rules, with seed %d: files in %s", b.rules, len(breaches), s.seed, root)
}

// sources are the files that the bug changes, as they are with it, by their paths.
func (b bug) sources() (map[string]string, error) {
	top, err := filepath.Abs(".")
	if err != nil {
		return nil, err
	}
	text := map[string]string{}
	for _, e := range b.edits {
		path := filepath.Join(top, filepath.FromSlash(e.file))
		if text[path] == "" {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("run this in the repository: %w", err)
			}
			text[path] = string(b)
		}
		if n := strings.Count(text[path], e.old); n != 1 {
			return nil, fmt.Errorf("%s has %q %d times, want it once: the bug must follow the code", e.file, e.old, n)
		}
		text[path] = strings.Replace(text[path], e.old, e.new, 1)
	}
	return text, nil
}

// build makes a program with the bug. The sources stay as they are: the compiler is told to read others in their place.
func (b bug) build(ctx context.Context, sound, root string) (string, error) {
	text, err := b.sources()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "planted")
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // terraform is started from there
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, changed := range text {
		replacement := filepath.Join(dir, filepath.Base(path))
		overlay.Replace[path] = replacement
		if err := os.WriteFile(replacement, []byte(changed), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file, bin := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "gantry")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return "", err
	}
	// Without a gantry-runner beside it this program is its own runner, with the bug in it.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-overlay", file, "-o", bin, "./cmd/gantry")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build a program with %s: %w: %s", b.name, err, said)
	}
	return bin, os.Symlink(filepath.Join(filepath.Dir(sound), "gantry-exec"), filepath.Join(dir, "gantry-exec"))
}
