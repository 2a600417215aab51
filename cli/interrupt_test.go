package cli_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestInterruptedQuestionDiscards(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.strict = true
	x := on(t, f)
	answers, typed := io.Pipe() // nobody types
	defer typed.Close()
	x.stdin, x.interactive = answers, true
	asked := x.out.shows("Enter a value")
	go func() {
		<-asked
		x.signals <- os.Interrupt
	}()
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net"), 3, "was discarded", "Interrupt")
	if diff := cmp.Diff([]string{"cancel", "discard"}, f.actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestInterrupts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		planned []string
		logs    map[string]string
		cancels []string
		at      string // interrupted when this is on stdout
		signals int
		code    int
		inErr   string
		atOnce  bool
	}{
		{"a signal to the command and to its group is one", []string{"planning"}, map[string]string{"plan": "\x02plans\n"}, []string{"canceled"}, "plans", 2, 3, "asking the server to cancel the run", true},
		{"a plan is canceled", []string{"planning"}, map[string]string{"plan": "\x02plans\n"}, []string{"canceled"}, "plans", 1, 3, "asking the server to cancel the run", false},
		{"an apply is canceled", []string{"planning", "planned"}, map[string]string{"plan": "\x02\x03", "apply": "\x02applies\n"}, []string{"canceled"}, "applies", 1, 3, "cancel the apply", false},
		{"an apply ends all the same", []string{"planning", "planned"}, map[string]string{"plan": "\x02\x03", "apply": "\x02applies\n"}, []string{"applied"}, "applies", 1, 0, "cancel the apply", false},
		{"the second leaves", []string{"planning", "planned"}, map[string]string{"plan": "\x02\x03", "apply": "\x02applies\n"}, nil, "applies", 2, 1, "left run run-1 before its end. See what becomes of it with gantry runs logs -f run-1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.planned, f.applied, f.cancels, f.logs = tt.planned, []string{"apply_queued", "applying"}, tt.cancels, tt.logs
			x := on(t, f)
			shown := x.out.shows(tt.at)
			go func() {
				<-shown
				for range tt.signals {
					select {
					case x.signals <- os.Interrupt:
					case <-t.Context().Done():
					}
					if !tt.atOnce {
						<-time.After(300 * time.Millisecond) // a person is not faster, and what is faster counts once
					}
				}
			}()
			args := []string{"run", folder(t, "main.tf"), "-w", "acme/net", "--auto-approve"}
			x.check(t, x.run(t, args...), tt.code, tt.at, tt.inErr)
			f.mu.Lock()
			defer f.mu.Unlock()
			if diff := cmp.Diff([]string{"cancel"}, f.actions); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInterruptedApplyAsks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answer  string
		ends    bool // the run ends while the question stands
		code    int
		inOut   string
		inErr   string
		actions []string
	}{
		{name: "cancel", answer: "c\n", code: 3, inOut: "was canceled", actions: []string{"cancel"}},
		{name: "detach", answer: "d\n", code: 1, inErr: "left run run-1 before its end. See what becomes of it with gantry runs logs -f run-1"},
		{name: "nobody answers", ends: true, code: 0, inOut: "is applied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.planned, f.applied = []string{"planning", "planned"}, []string{"apply_queued", "applying"}
			f.logs = map[string]string{"plan": "\x02\x03", "apply": "\x02applies\n"}
			x := on(t, f)
			answers, typed := io.Pipe()
			defer typed.Close()
			x.stdin, x.interactive = answers, true
			shown := x.out.shows("applies")
			go func() {
				<-shown
				asked := x.out.shows("Cancel or detach?")
				x.signals <- os.Interrupt
				<-asked
				if tt.ends {
					f.mu.Lock()
					defer f.mu.Unlock()
					f.logs["apply"] += "\x03"
					f.enter("applied")
					return
				}
				_, _ = io.WriteString(typed, tt.answer)
			}()
			x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net", "--auto-approve"), tt.code, tt.inOut, tt.inErr)
			f.mu.Lock()
			defer f.mu.Unlock()
			if diff := cmp.Diff(tt.actions, f.actions); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}
