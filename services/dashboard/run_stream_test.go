package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/services/run"
)

// message is one of a stream.
type message struct{ event, id, data string }

// reader reads a stream. Used by one goroutine.
type reader struct {
	t     *testing.T
	lines *bufio.Scanner
	close context.CancelFunc
}

func (f *fixture) open(path string, header ...string) *reader {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 40*time.Second)
	f.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", f.server.URL+path, nil)
	must(f.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.client.Do(req)
	must(f.t, err)
	f.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(res.Body)
		f.t.Fatalf("GET %s: got %d %s, want a stream: %s", path, res.StatusCode, res.Header.Get("Content-Type"), b)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return &reader{f.t, lines, cancel}
}

// next returns the next message, or false at the end of the stream.
func (r *reader) next() (message, bool) {
	var m message
	for r.lines.Scan() {
		field, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch field {
		case "event":
			m.event = value
		case "id":
			m.id = value
		case "data":
			m.data = value
		case "":
			if m.event != "" {
				return m, true
			}
		}
	}
	return m, false
}

// ends checks that the server ends the stream without another message.
func (r *reader) ends() {
	r.t.Helper()
	if m, ok := r.next(); ok || r.lines.Err() != nil {
		r.t.Errorf("got %+v and error %v, want the end of the stream", m, r.lines.Err())
	}
}

// changes reads on until the change with the number came, and returns the ids of all changes.
func (r *reader) changes(last int64) []string {
	r.t.Helper()
	var ids []string
	for {
		m, ok := r.next()
		if !ok {
			r.t.Fatalf("the stream ended after changes %v, want them up to %d", ids, last)
		}
		if m.event == "change" {
			ids = append(ids, m.id)
			if m.id == strconv.FormatInt(last, 10) {
				return ids
			}
		}
	}
}

// view is how the run is.
type view struct {
	Title string
	Parts map[string]string
	Begun []string
	Logs  map[string]string
}

// viewWith reads on until a view whose summary has the text: what happens in between may be seen or not.
func (r *reader) viewWith(text string) view {
	r.t.Helper()
	for {
		if v := r.view(); strings.Contains(v.Parts["summary"], text) {
			return v
		}
	}
}

// view reads on until the next view.
func (r *reader) view() (v view) {
	r.t.Helper()
	for {
		m, ok := r.next()
		if !ok {
			r.t.Fatal("the stream ended, want a view")
		}
		if m.event == "view" {
			must(r.t, json.Unmarshal([]byte(m.data), &v))
			return v
		}
	}
}

func TestTheStreamResumesWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	r := f.newRun("streamed") // events 1 and 2
	path := "/app/default/network/runs/" + r.ID + "/events"

	s := f.open(path + "?after=1")
	if diff := cmp.Diff([]string{"2"}, s.changes(2)); diff != "" {
		t.Errorf("changes after the page's (-want +got):\n%s", diff)
	}
	first := s.view()
	want := map[string]string{"plan": "/signed/" + r.ID + "/plan", "apply": "/signed/" + r.ID + "/apply"}
	if diff := cmp.Diff(want, first.Logs); diff != "" {
		t.Errorf("addresses of the logs, without their host (-want +got):\n%s", diff)
	}
	attempt := f.begin(r.Plan) // 3 and 4
	if diff := cmp.Diff([]string{"3", "4"}, s.changes(4)); diff != "" {
		t.Errorf("changes that come live (-want +got):\n%s", diff)
	}
	if got, want := s.viewWith(">Planning<").Title, "Planning · streamed · default/network"; got != want {
		t.Errorf("got title %q, want %q", got, want)
	}
	s.close()

	f.give(r.ID, run.Finish{AttemptID: attempt, Outcome: run.Succeeded}) // 5
	s = f.open(path+"?after=1", "Last-Event-ID", "3")                    // what the browser saw counts more than the page
	if diff := cmp.Diff([]string{"4", "5"}, s.changes(5)); diff != "" {
		t.Errorf("changes after Last-Event-ID 3 (-want +got):\n%s", diff)
	}
	if v := s.view(); !strings.HasPrefix(v.Title, "Planned and finished") {
		t.Errorf("got title %q, want the run finished", v.Title)
	}
	if m, ok := s.next(); !ok || m.event != "end" {
		t.Errorf("got %+v, %t; want the end", m, ok)
	}
	s.ends()
	for _, bad := range []string{"x", "-1", "99"} {
		f.get(path, "Last-Event-ID", bad).want(http.StatusBadRequest, "Reload the page")
	}
}

func TestTheStreamTellsWhatHappensAround(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	ahead, r := f.newRun("ahead"), f.newRun("behind")
	s := f.open("/app/default/network/runs/" + r.ID + "/events")
	if v := s.view(); !strings.Contains(v.Parts["summary"], "Behind run ") || len(v.Begun) != 0 {
		t.Errorf("got summary %q and logs of %v, want a pending run without a log", v.Parts["summary"], v.Begun)
	}
	f.give(ahead.ID, run.Cancel{})
	if got, want := s.viewWith("No worker of pool local").Begun, []string{"plan"}; !cmp.Equal(got, want) {
		t.Errorf("got logs of %v, want of %v", got, want)
	}
}

// TestALostNotificationCostsTimeOnly: streams of pages look for themselves.
func TestALostNotificationCostsTimeOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.stop()
	f.server.Close()
	f.deaf = true
	f.serve("")
	f.logIn(adminToken, "")
	r := f.newRun("unheard")
	t.Run("of a run", func(t *testing.T) {
		t.Parallel()
		s := f.open("/app/default/network/runs/" + r.ID + "/events?after=2")
		s.view() // it has looked
		f.give(r.ID, run.Cancel{})
		if diff := cmp.Diff([]string{"3", "4"}, s.changes(4)); diff != "" {
			t.Errorf("changes (-want +got):\n%s", diff)
		}
	})
	t.Run("of all pages", func(t *testing.T) {
		t.Parallel()
		if m, ok := f.open("/app/~live").next(); !ok || m.event != "changed" {
			t.Errorf("got %+v, %t; want to be told that something may have changed", m, ok)
		}
	})
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	r := f.newRun("open")
	s := f.open("/app/default/network/runs/" + r.ID + "/events")
	s.view()
	f.stop()
	s.ends()
}

func TestStreamsEndWithTheSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.logIn(adminToken, "")
	r := f.newRun("open")
	s := f.open("/app/default/network/runs/" + r.ID + "/events")
	s.view()
	must(t, f.db.EndSession(t.Context(), f.client.Jar.Cookies(parse(t, f.server.URL+"/app/"))[0].Value))
	f.begin(r.Plan)
	s.ends()
}
