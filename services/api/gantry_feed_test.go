package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

type brief struct {
	Event run.Event `json:"event"`
	Run   struct {
		ID, Status string
		Seq        int64
	} `json:"run"`
}

func TestStatusEventsOfAWorkspaceOrPool(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	other, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "default", Name: "other"})
	must(t, err)
	const path = "/api/gantry/v1/events?organization=default"
	f.get("/api/gantry/v1/events", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	f.get("/api/gantry/v1/events?organization=none", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get(path+"&workspace=none", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get(path+"&pool=none", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	r := f.newRun(run.Options{PlanOnly: true})
	var got []string
	f.follow(t.Context(), path+"&workspace=network&pool=local", "", func(e sent) bool {
		switch e.event {
		case "snapshot":
			got = append(got, "snapshot "+fmt.Sprint(strings.Contains(e.data, r.ID)))
			f.transition(r.ID, run.Cancel{})
		default:
			var b brief
			e.into(t, &b)
			got = append(got, string(b.Event.Type)+" "+b.Run.Status)
		}
		return got[len(got)-1] != "canceled canceled"
	})
	if diff := cmp.Diff([]string{"snapshot true", "cancel_requested plan_queued", "canceled canceled"}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// Of another workspace it gets nothing, but a position: the heartbeat has one.
	f.follow(t.Context(), path+"&workspace="+other.ID, "", func(e sent) bool {
		if strings.Contains(e.data, r.ID) {
			t.Errorf("got %s of another workspace", e.data)
		}
		return false
	})
}

func TestASlowReaderIsDroppedAndResumes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := f.newRun(run.Options{})
	c := f.claim(r.Plan.ID)
	f.start(c)
	// It opens the stream and reads nothing.
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.server.URL, "http://"))
	must(t, err)
	defer conn.Close()
	must(t, conn.(*net.TCPConn).SetReadBuffer(256<<10)) // with less than a segment of loopback, TCP sends a few bytes at a time
	_, err = fmt.Fprintf(conn, "GET /api/gantry/v1/organizations/default/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", adminToken)
	must(t, err)
	// A fast reader beside it gets everything meanwhile.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const events = 100
	happen := func() {
		for i := range events {
			if _, err := f.db.Transition(ctx, r.ID, run.Progress{AttemptID: c.AttemptID, Stage: messages.Stage(fmt.Sprintf("%d %s", i, strings.Repeat("x", 60_000)))}, postgres.Cause{Actor: "test"}); err != nil {
				return // the test is over
			}
		}
	}
	seen := 0
	f.follow(ctx, "/api/gantry/v1/events?organization=default", "", func(sent) bool {
		if seen++; seen == 1 { // the snapshot: what happened before would be in it
			go happen()
		}
		return seen < events
	})
	// The slow one reads on: what the connection still had, and the end. On a slow machine it is cut off before it is told that
	// it is behind.
	must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) // its end is not that of the connection, which is good for another call
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	last, got := "", 0
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			last = id
		}
		if lines.Text() == "event: change" {
			got++
		}
	}
	if last == "" || got >= events {
		t.Fatalf("got %d events and the id %q, want the end before them all and a position", got, last)
	}
	var next int64
	f.follow(ctx, "/api/gantry/v1/events?organization=default", last, func(e sent) bool {
		var b brief
		e.into(t, &b)
		next = b.Event.Seq
		return false
	})
	if next < 2 || next > events {
		t.Errorf("resumed at event %d, want the one after the last that came", next)
	}
}

func TestAStreamEndsWithTheRightToReadIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, token := f.member("rita", "default", postgres.RoleRead)
	held, err := f.db.Token(t.Context(), token)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.server.URL+"/api/gantry/v1/events?organization=default", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := f.server.Client().Do(req)
	must(t, err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "event: snapshot" {
		t.Fatalf("got %q, want a snapshot", lines.Text())
	}
	must(t, f.db.RevokeToken(t.Context(), postgres.Token{Kind: postgres.TokenAdmin}, held.ID))
	for lines.Scan() { // ends by itself
	}
	if t.Context().Err() != nil {
		t.Error("the stream never ended")
	}
}
