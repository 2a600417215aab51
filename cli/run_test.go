package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunApplies(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.hasNet = false // is created
	x := on(t, f)
	dir := folder(t, "main.tf", "secret.txt", "notes.txt")
	write(t, filepath.Join(dir, ".terraformignore"), "secret.txt\n")
	code := x.run(t, "run", dir, "-w", "acme/net", "--auto-approve", "--destroy", "--message", "why")
	x.check(t, code, 0, "the plan\nthe apply\n\nOutputs:\n\ncount = 3\npassword = <sensitive>\n\nRun run-1 is applied.\n"+
		f.server.URL+"/app/acme/net/runs/run-1\n", "Run run-1: ")
	if strings.Contains(x.out.String()+x.err.String(), "hunter2") {
		t.Error("got the value of a sensitive output")
	}
	want := map[string]any{"auto-apply": true, "is-destroy": true, "plan-only": false, "refresh": true, "refresh-only": false, "message": "why"}
	if diff := cmp.Diff(want, f.created); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if names := uploaded(t, f.upload); !slices.Contains(names, "main.tf") || slices.Contains(names, "secret.txt") {
		t.Errorf("got upload of %q, want main.tf and not the ignored secret.txt", names)
	}
}

func uploaded(t *testing.T, archive []byte) (names []string) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(unzipped); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestOutputsAreNotPrintedTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.logs["apply"] = "\x02Apply complete!\n\nOutputs:\n\ncount = 3\n\x03"
	x := on(t, f)
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net", "--auto-approve"), 0, "is applied", "")
	if n := strings.Count(x.out.String(), "count = 3"); n != 1 {
		t.Errorf("got the output %d times, want once:\n%s", n, x.out.String())
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		planned      []string
		failure      string
		answer       string // given on a terminal
		args         []string
		code         int
		inOut, inErr string
		actions      []string
		closed       bool
	}{
		{name: "approved", answer: "yes\n", code: 0, inOut: "Only 'yes' is accepted", actions: []string{"apply"}},
		{name: "declined", answer: "no\n", code: 3, inOut: "was discarded", actions: []string{"discard"}},
		{name: "input ends", answer: "", code: 5, inOut: "waits for approval", closed: true},
		{name: "no terminal", code: 5, inOut: "/app/acme/net/runs/run-1"},
		{name: "plan only", planned: []string{"planning", "planned_and_finished"}, args: []string{"--plan-only"}, code: 0, inOut: "nothing is applied"},
		{name: "no changes", planned: []string{"planning", "planned_and_finished"}, code: 0, inOut: "no changes"},
		{name: "broken", planned: []string{"planning", "errored"}, failure: "terraform failed", code: 1, inErr: "Error: run run-1 in workspace acme/net errored: terraform failed"},
		{name: "canceled elsewhere", planned: []string{"planning", "force_canceled"}, code: 3, inOut: "was canceled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if tt.planned != nil {
				f.planned = tt.planned
			}
			f.failure = tt.failure
			x := on(t, f)
			x.interactive = tt.answer != "" || tt.closed
			x.stdin = strings.NewReader(tt.answer)
			code := x.run(t, append([]string{"run", folder(t, "main.tf"), "-w", "acme/net"}, tt.args...)...)
			x.check(t, code, tt.code, tt.inOut, tt.inErr)
			if diff := cmp.Diff(tt.actions, f.actions); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSomebodyElseApproves(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	x.interactive = true
	answers, typed := io.Pipe() // nobody types
	defer typed.Close()
	x.stdin = answers
	asked := x.out.shows("Enter a value")
	go func() {
		<-asked
		f.mu.Lock()
		defer f.mu.Unlock()
		f.enter(f.applied...)
	}()
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net"), 0, "the apply", "")
}

func TestWaitingIsToldOncePerStatus(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.planned = []string{"pending"}
	x := on(t, f)
	waits := x.err.shows("waiting: pending")
	go func() {
		<-waits
		f.mu.Lock()
		defer f.mu.Unlock()
		f.enter("pending", "pending", "planning", "planned_and_finished")
	}()
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net"), 0, "the plan", "")
	if n := strings.Count(x.err.String(), "waiting: pending\n"); n != 1 || strings.Contains(x.err.String(), "\r") {
		t.Errorf("got %d plain lines, want one and no redrawing:\n%s", n, x.err.String())
	}
}

func TestRunAsJSON(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net", "--auto-approve", "-o", "json"), 0, "", "the apply")
	var got struct {
		ID, Status, URL, Workspace string
		Outputs                    map[string]struct {
			Value     any
			Sensitive bool
		}
	}
	if err := json.Unmarshal([]byte(x.out.String()), &got); err != nil {
		t.Fatalf("stdout is not one JSON document: %v\n%s", err, x.out.String())
	}
	if got.ID != "run-1" || got.Status != "applied" || got.Workspace != "net" || got.Outputs["count"].Value != 3.0 ||
		!got.Outputs["password"].Sensitive || got.Outputs["password"].Value != nil {
		t.Errorf("got %s", x.out.String())
	}
}

func TestFollowingALogToItsEnd(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.enter("planning", "planned", "applying")
	x := on(t, f)
	shown := x.out.shows("the apply")
	f.logs["apply"] = "\x02the apply\n"
	go func() {
		<-shown
		f.mu.Lock()
		defer f.mu.Unlock()
		f.logs["apply"] += "goes on\n\x03"
		f.enter("applied")
	}()
	x.check(t, x.run(t, "runs", "logs", "-f", "run-1"), 0, "the plan\nthe apply\ngoes on\n", "")
}

func TestColorsOnlyOnATerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		terminal bool
		noColor  string
		want     bool
	}{{"terminal", true, "", true}, {"file", false, "", false}, {"NO_COLOR", true, "1", false}} {
		x := on(t, newFake(t))
		x.interactive, x.env["NO_COLOR"] = tt.terminal, tt.noColor
		x.check(t, x.run(t, "runs", "logs", "run-1"), 0, "the plan", "")
		if got := strings.Contains(x.out.String(), "\x1b["); got != tt.want {
			t.Errorf("%s: got colors %v, want %v", tt.name, got, tt.want)
		}
	}
}
