package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

func TestRunsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	net, dns := w.workspace("net"), w.workspace("dns")
	r1, r2, r3 := w.newRun(net, run.Options{}), w.newRun(dns, run.Options{}), w.newRun(net, run.Options{})
	for _, c := range []struct {
		name  string
		in    postgres.RunFilter
		want  []string
		total int
	}{
		{"a workspace", postgres.RunFilter{WorkspaceID: net.ID}, []string{r3.ID, r1.ID}, 2},
		{"an organization", postgres.RunFilter{OrganizationID: w.org.ID}, []string{r3.ID, r2.ID, r1.ID}, 3},
		{"another organization", postgres.RunFilter{OrganizationID: "org-none"}, nil, 0},
		{"statuses", postgres.RunFilter{OrganizationID: w.org.ID, Statuses: []run.Status{run.Pending, run.Planned}}, []string{r3.ID}, 1},
		{"the second page", postgres.RunFilter{OrganizationID: w.org.ID, Page: postgres.Page{Number: 2, Size: 2}}, []string{r1.ID}, 3},
	} {
		list, total, err := w.Runs(t.Context(), c.in)
		w.ok(err)
		var got []string
		for _, r := range list {
			got = append(got, r.ID)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || total != c.total {
			t.Errorf("%s: total %d, want %d (-want +got):\n%s", c.name, total, c.total, diff)
		}
	}
}

func TestTheEventsOfARunFoldToIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.newRun(w.workspace("net"), run.Options{TargetAddrs: []string{"a.b"}})
	_, a := w.applying(r.ID)
	w.result(a, applyResult())
	want := w.get(r.ID)
	var got run.Run
	for { // two at a time
		events, err := w.RunEvents(t.Context(), r.ID, got.Seq, 2)
		w.ok(err)
		for _, e := range events {
			got = run.Fold(got, e)
		}
		if len(events) == 0 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fold of the stored events (-stored run +fold):\n%s", diff)
	}
	byTask, err := w.RunOfTask(t.Context(), want.Apply.ID)
	w.ok(err)
	if diff := cmp.Diff(want, byTask); diff != "" {
		t.Errorf("run of its task (-want +got):\n%s", diff)
	}
	_, err = w.RunOfTask(t.Context(), "task-none")
	w.refused(err, messages.CodeNotFound)
	_, err = w.Run(t.Context(), "run-none")
	w.refused(err, messages.CodeNotFound)
	_, err = w.Transition(t.Context(), "run-none", run.Cancel{}, postgres.Cause{})
	w.refused(err, messages.CodeNotFound)
	if _, err := w.Transition(t.Context(), r.ID, run.Cancel{}, postgres.Cause{}); codeOf(err) != messages.CodeRunNotAllowed {
		t.Errorf("cancel of a run that is over: got %v, want code %s", err, messages.CodeRunNotAllowed)
	}
}
