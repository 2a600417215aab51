package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// sent is one server-sent event.
type sent struct {
	event, id, data string
}

type change struct {
	Event run.Event `json:"event"`
	Run   run.Run   `json:"run"`
}

func (e sent) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), v); err != nil {
		t.Fatalf("data of event %s %s: %v", e.event, e.id, err)
	}
}

// follow reads a stream until take says no or the server closes it.
func (f *fixture) follow(ctx context.Context, path, lastID string, take func(sent) bool) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", f.server.URL+path, nil)
	must(f.t, err)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := f.server.Client().Do(req)
	must(f.t, err)
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		f.t.Fatalf("GET %s after %q: got %d %s, want a stream", path, lastID, res.StatusCode, got)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	var e sent
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			e.event = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if strings.Contains(e.data, "nonce") {
				f.t.Errorf("GET %s: event %s shows a nonce: %s", path, e.event, e.data)
			}
			if lines.Text() == "" && e.event != "" && !take(e) {
				return
			}
			e = sent{}
		}
	}
	if ctx.Err() != nil {
		f.t.Errorf("GET %s: no end before the test's", path)
	}
}

// TestRunEventsAreExactlyOnceInOrder reads a run while several writers change it, and reconnects at random points.
func TestRunEventsAreExactlyOnceInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() { f.followRandomly(ctx, r.ID) })
	}
	c := f.claim(r.Plan.ID)
	f.start(c)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 25 {
				f.transition(r.ID, run.Progress{AttemptID: c.AttemptID, Stage: messages.Stage(fmt.Sprintf("stage-%d-%d", w, i))})
			}
		})
	}
	writers.Wait()
	f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded})
	done.Wait()
}

// followRandomly is one reader. It checks every event until the run's end.
func (f *fixture) followRandomly(ctx context.Context, id string) {
	path := "/api/gantry/v1/runs/" + id + "/events"
	var at run.Run
	var last string
	for ended := false; !ended && ctx.Err() == nil; {
		left := 1 + rand.IntN(9)
		f.follow(ctx, path, last, func(e sent) bool {
			switch e.event {
			case "snapshot":
				if last != "" {
					f.t.Errorf("a snapshot after Last-Event-ID %s", last)
				}
				e.into(f.t, &at)
			case "change":
				var c change
				e.into(f.t, &c)
				if c.Event.Seq != at.Seq+1 {
					f.t.Errorf("got event %d after %d, want the next one", c.Event.Seq, at.Seq)
				}
				at = run.Fold(at, c.Event)
				if diff := cmp.Diff(at, c.Run); diff != "" {
					f.t.Errorf("event %d: the run after it (-fold +got):\n%s", c.Event.Seq, diff)
				}
			case "end":
				ended = true
				return false
			}
			if e.id != fmt.Sprint(at.Seq) {
				f.t.Errorf("%s: got id %s, want %d", e.event, e.id, at.Seq)
			}
			last = e.id
			left--
			return left > 0
		})
	}
	if diff := cmp.Diff(f.mustRun(id).Public(), at); diff != "" {
		f.t.Errorf("at the end of the stream (-stored +got):\n%s", diff)
	}
}

func TestRunEventsFromAnyPoint(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	r = f.transition(r.ID, run.Cancel{})
	path := "/api/gantry/v1/runs/" + r.ID + "/events"
	for after := range r.Seq + 1 {
		var got []string
		f.follow(t.Context(), fmt.Sprintf("%s?after=%d", path, after), "", func(e sent) bool {
			got = append(got, e.event+" "+e.id)
			return true
		})
		var want []string
		for seq := after + 1; seq <= r.Seq; seq++ {
			want = append(want, fmt.Sprintf("change %d", seq))
		}
		want = append(want, fmt.Sprintf("end %d", r.Seq))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after %d (-want +got):\n%s", after, diff)
		}
	}
	for _, bad := range []string{"x", "-1", fmt.Sprint(r.Seq + 1)} {
		f.get(path+"?after="+bad, adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	}
	f.get("/api/gantry/v1/runs/run-none/events", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get("/api/gantry/v1/organizations/none/events", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	for _, bad := range []string{"x", "1/2/3", "a:b:/1:1:/0"} {
		f.get("/api/gantry/v1/organizations/default/events?after="+bad, adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	}
}

// TestOrganizationEventsAreExactlyOnceInOrder reads the changes of many runs that commit in no particular order, and
// reconnects at random points.
func TestOrganizationEventsAreExactlyOnceInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f.newRun(run.Options{}) // for the snapshot: it stays queued
	const runs = 12
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() { f.followOrganization(ctx, runs) })
	}
	for range 4 {
		done.Go(func() {
			for range runs / 4 {
				r := f.newRun(run.Options{PlanOnly: true})
				c := f.claim(r.Plan.ID)
				f.start(c)
				for i := range 5 {
					f.transition(r.ID, run.Progress{AttemptID: c.AttemptID, Stage: messages.Stage(fmt.Sprint(i))})
				}
				f.transition(r.ID, run.Finish{AttemptID: c.AttemptID, Outcome: run.Succeeded})
			}
		})
	}
	done.Wait()
}

// followOrganization is one reader. It checks every event until the number of runs are final.
func (f *fixture) followOrganization(ctx context.Context, runs int) {
	at := map[string]run.Run{}
	final := 0
	var last string
	seen := func(r run.Run) {
		at[r.ID] = r
		if r.Status.Final() {
			final++
		}
	}
	for final < runs && ctx.Err() == nil {
		left := 1 + rand.IntN(9)
		f.follow(ctx, "/api/gantry/v1/organizations/default/events", last, func(e sent) bool {
			if e.event == "snapshot" {
				var list struct {
					Runs []run.Run `json:"runs"`
				}
				e.into(f.t, &list)
				if len(list.Runs) == 0 {
					f.t.Error("the snapshot lacks the run made before it")
				}
				for _, r := range list.Runs {
					seen(r)
				}
			} else {
				var c change
				e.into(f.t, &c)
				before := at[c.Event.RunID]
				if c.Event.Seq != before.Seq+1 {
					f.t.Errorf("run %s: got event %d after %d, want the next one", c.Event.RunID, c.Event.Seq, before.Seq)
				}
				after := run.Fold(before, c.Event)
				if diff := cmp.Diff(after, c.Run); diff != "" {
					f.t.Errorf("run %s event %d: the run after it (-fold +got):\n%s", c.Event.RunID, c.Event.Seq, diff)
				}
				seen(after)
			}
			last = e.id
			left--
			return left > 0 && final < runs
		})
	}
	if ctx.Err() != nil {
		f.t.Errorf("got the end of %d runs, want %d", final, runs)
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var open, closed sync.WaitGroup
	for _, of := range []string{"runs/" + r.ID, "organizations/" + f.ws.OrganizationID} {
		open.Add(1)
		closed.Go(func() {
			f.follow(ctx, "/api/gantry/v1/"+of+"/events", "", func(e sent) bool {
				if e.event != "snapshot" {
					t.Errorf("%s: got %s, want a snapshot and then the end", of, e.event)
				}
				open.Done()
				return true
			})
		})
	}
	open.Wait()
	f.stop()
	closed.Wait()
}
