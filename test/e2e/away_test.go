package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awayVariable says for how long everything is away in TestSplitDeployment; the default fits into every day's tests.
const (
	awayVariable = "GANTRY_E2E_AWAY"
	awayDefault  = 40 * time.Second
)

// talkative is a configuration whose apply goes through several resources, and prints and journals each second.
func talkative(folder string, steps, seconds int) (text, journal string) {
	journal = filepath.Join(folder, "journal")
	var b strings.Builder
	for i := range steps {
		after := ""
		if i > 0 {
			after = fmt.Sprintf("depends_on = [terraform_data.s%d]", i-1)
		}
		fmt.Fprintf(&b, `
resource "terraform_data" "s%[1]d" {
  input = "step %[1]d"
  %[2]s
  provisioner "local-exec" {
    command = "i=0; while [ $i -lt %[3]d ]; do echo word %[1]d.$i said; echo %[1]d.$i >> %[4]s; sleep 1; i=$((i+1)); done"
  }
}`, i, after, seconds, journal)
	}
	return b.String(), journal
}

// everythingAway takes NATS, Postgres and both APIs away while one apply ends meanwhile and another goes on: nothing is stopped,
// lost or done twice, and each log is what was printed.
func (s *split) everythingAway(t *testing.T) {
	away := awayDefault
	if text := os.Getenv(awayVariable); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", awayVariable, err)
		}
	}
	const steps = 3
	half := int(away/time.Second) / steps / 2
	shortText, shortJournal := talkative(shared(t), steps, max(half, 1))
	longText, longJournal := talkative(shared(t), steps, 2*max(half, 1)+4)
	first := s.runs["api-1"]
	ends, goesOn := detach(t, first, config(t, shortText), "default/ends"), detach(t, first, config(t, longText), "default/goes-on")
	waitForLines(t, shortJournal, 1)
	waitForLines(t, longJournal, 1)

	began := time.Now()
	for _, ip := range s.ips {
		s.killNATS(ip)
	}
	s.stopPostgres()
	for _, name := range []string{"api-1", "api-2"} {
		s.runs[name].kill()
	}
	waitForLines(t, shortJournal, steps*max(half, 1)) // it goes on to its end
	<-time.After(time.Until(began.Add(away)))
	if got := len(journalLines(t, longJournal)); got >= steps*(2*max(half, 1)+4) {
		t.Logf("the long apply has ended too: the machine was slow to take things away")
	}
	s.startPostgres()
	for _, ip := range s.ips {
		s.startNATS(ip)
	}
	s.await(map[string]<-chan bool{"api-1": s.runs["api-1"].launch(), "api-2": s.runs["api-2"].launch()})

	s.expectWhole(t, ends, shortJournal, steps, max(half, 1))
	s.expectWhole(t, goesOn, longJournal, steps, 2*max(half, 1)+4)
}

// expectWhole checks that the run was applied, each step once, by one attempt each of plan and apply, and that its log has every
// line and the hash that its runner reported.
func (s *split) expectWhole(t *testing.T, id, journal string, steps, seconds int) {
	t.Helper()
	first := s.runs["api-1"]
	first.waitFor(id, "applied")
	var want []string
	for i := range steps {
		for n := range seconds {
			want = append(want, fmt.Sprintf("%d.%d", i, n))
		}
	}
	if got := journalLines(t, journal); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("run %s: got journal %v, want %v", id, got, want)
	}
	var shown struct {
		Logs []struct {
			Phase    string
			Complete bool
			Intact   *bool
		}
	}
	eventually(t, first, "the end of both logs", func() bool {
		decode(t, first.must("runs", "show", id, "-o", "json").stdout, &shown)
		return len(shown.Logs) == 2 && shown.Logs[0].Complete && shown.Logs[1].Complete
	})
	for _, l := range shown.Logs {
		if l.Intact == nil || !*l.Intact {
			t.Errorf("run %s: the log of its %s is not what was printed", id, l.Phase)
		}
	}
	log := first.must("runs", "logs", id).stdout
	for _, word := range want {
		if n := strings.Count(log, "word "+word+" said\n"); n != 1 {
			t.Errorf("run %s: its log has %q %d times, want once", id, word, n)
		}
	}
}

// cancelsWithoutNATS cancels an apply that only the API can tell: its runner asks there, because it has lost its lease.
func (s *split) cancelsWithoutNATS() {
	t := s.t
	text, journal, _ := slowApply(shared(t))
	first := s.runs["api-1"]
	id := detach(t, first, config(t, text), "default/canceled-away")
	waitForFile(t, journal)
	for _, ip := range s.ips {
		s.killNATS(ip)
	}
	first.must("runs", "cancel", id)
	first.waitFor(id, "canceled")
	for _, ip := range s.ips {
		s.startNATS(ip)
	}
	beside := filepath.Join(shared(t), "journal")
	next := detach(t, first, config(t, journaled(beside)), "default/canceled-away")
	expectApplied(t, first, next, "default/canceled-away", beside)
}
