package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/client"
)

func dial(t *testing.T, h http.Handler) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(client.Config{Address: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestStreamLogAtEveryBorder(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("0123456789abcdef"), 10_000) // more than two full reads
	for _, tt := range []struct {
		name  string
		reads []string // what becomes visible, read by read
		want  string
	}{
		{"whole", []string{"\x02hello\n\x03"}, "hello\n"},
		{"marks alone", []string{"\x02", "hello\n", "\x03"}, "hello\n"},
		{"empty log", []string{"\x02", "", "\x03"}, ""},
		{"split rune", []string{"\x02gr\xc3", "\xbc\xc3", "\x9fe\x03"}, "grüße"},
		{"silence first", []string{"", "", "\x02a", "", "b", "\x03"}, "ab"},
		{"mark inside", []string{"\x02a\x02b\x03c", "\x02d\x03"}, "a\x02b\x03c\x02d"},
		{"long", []string{"\x02" + string(long), "\x03"}, string(long)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var log []byte
			next := 0
			c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != "" {
					t.Errorf("got the token with a link that is a permission of its own, want none")
				}
				if r.URL.Query().Has("sig") {
					t.Errorf("got query %q, want it replaced", r.URL.RawQuery)
				}
				offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
				limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
				if offset == len(log) && next < len(tt.reads) {
					log = append(log, tt.reads[next]...)
					next++
				}
				_, _ = w.Write(log[offset:min(offset+limit, len(log))])
			}))
			var got bytes.Buffer
			err := c.StreamLog(t.Context(), "https://elsewhere.example/logs/x?sig=1", &got, client.LogOptions{Follow: true})
			if err != nil || got.String() != tt.want {
				t.Errorf("got %.80q, %v, want %.80q", got.String(), err, tt.want)
			}
		})
	}
}

func TestStreamLogRetriesWithoutRepeating(t *testing.T) {
	t.Parallel()
	const log = "\x02first second\n\x03"
	var reads atomic.Int32
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		if reads.Add(1) == 1 { // breaks in the middle
			w.Header().Set("Content-Length", fmt.Sprint(len(log)))
			_, _ = w.Write([]byte(log[:6]))
			return
		}
		_, _ = w.Write([]byte(log[offset:]))
	}))
	var got bytes.Buffer
	err := c.StreamLog(t.Context(), "/logs/x", &got, client.LogOptions{})
	if want := "first second\n"; err != nil || got.String() != want {
		t.Errorf("got %q, %v, want %q", got.String(), err, want)
	}
}

func TestStreamLogOnce(t *testing.T) {
	t.Parallel()
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("offset") == "0" {
			_, _ = w.Write([]byte("\x02so far"))
		}
	}))
	var got bytes.Buffer
	err := c.StreamLog(t.Context(), "/logs/x", &got, client.LogOptions{})
	if err != nil || got.String() != "so far" {
		t.Errorf("got %q, %v, want what there is and no waiting", got.String(), err)
	}
}

func change(seq int, status string) string {
	return fmt.Sprintf("event: change\nid: %d\ndata: {\"event\":{\"type\":\"e%d\"},\ndata: \"run\":{\"id\":\"run-1\",\"seq\":%d,\"status\":%q}}\n\n", seq, seq, seq, status)
}

func snapshot(seq int, status string) string {
	return fmt.Sprintf("event: snapshot\nid: %d\ndata: {\"id\":\"run-1\",\"seq\":%d,\"status\":%q}\n\n", seq, seq, status)
}

func TestWatchRunAcrossBrokenStreams(t *testing.T) {
	t.Parallel()
	cut := change(4, "applying")
	streams := []struct{ wantLast, text string }{
		{"", snapshot(2, "planning") + ":\n\n" + change(3, "planned") + cut[:len(cut)-10]}, // breaks in an event
		{"3", ""},
		{"3", change(3, "planned") + change(4, "applying")}, // repeats one
		{"4", "event: news\ndata: of a newer server\n\n"},
		{"4", snapshot(6, "applying")}, // cannot resume: begins anew
		{"6", change(7, "applied") + change(8, "never read")},
	}
	var opened atomic.Int32
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(opened.Add(1)) - 1
		if n >= len(streams) {
			t.Errorf("got another stream, want no more after the final status")
			return
		}
		if got := r.Header.Get("Last-Event-ID"); got != streams[n].wantLast {
			t.Errorf("stream %d: got Last-Event-ID %q, want %q", n, got, streams[n].wantLast)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("got Authorization %q", got)
		}
		_, _ = w.Write([]byte(streams[n].text))
	}))
	var got []string
	for change, err := range c.WatchRun(t.Context(), "run-1", 0) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %s", change.Type, change.Run.Seq, change.Run.Status))
	}
	want := []string{" 2 planning", "e3 3 planned", "e4 4 applying", " 6 applying", "e7 7 applied"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestWatchRunRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, http.NotFoundHandler())
	n := 0
	for _, err := range c.WatchRun(t.Context(), "run-1", 0) {
		n++
		if !client.NotFound(err) {
			t.Errorf("got %v, want not found", err)
		}
	}
	if n != 1 {
		t.Errorf("got %d messages, want one", n)
	}
}

func TestListReadsAllPages(t *testing.T) {
	t.Parallel()
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page[number]")
		fmt.Fprintf(w, `{"data":[{"id":"ws-%s","type":"workspaces","attributes":{"name":"n%s","terraform-version":"1.11.4"},
			"relationships":{"organization":{"data":{"type":"organizations","id":"acme"}},"current-run":{"data":null},"tags":{"data":[]}}}],
			"meta":{"pagination":{"current-page":%s,"total-pages":3}}}`, page, page, page)
	}))
	got, err := c.Workspaces(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	var want []client.Workspace
	for _, n := range []string{"1", "2", "3"} {
		want = append(want, client.Workspace{ID: "ws-" + n, Name: "n" + n, Organization: "acme", TerraformVersion: "1.11.4"})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("workspaces (-want +got):\n%s", diff)
	}
}

func TestCreateIsSafeToRetry(t *testing.T) {
	t.Parallel()
	var keys []string
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"data":{"id":"acme","type":"organizations","attributes":{"name":"acme"}}}`)
	}))
	for range 2 {
		if o, err := c.CreateOrganization(t.Context(), "acme"); err != nil || o.Name != "acme" {
			t.Fatalf("got %v, %v", o, err)
		}
	}
	if len(keys) != 3 || keys[0] == "" || keys[0] != keys[1] || keys[1] == keys[2] {
		t.Errorf("got keys %q, want one per create, the same for its retry", keys)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	c, err := client.New(client.Config{Address: gone.URL, Budget: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Organizations(t.Context())
	if !client.Unreachable(err) {
		t.Errorf("no listener: got %v, want unreachable", err)
	}
	if err := c.Ready(t.Context()); !client.Unreachable(err) {
		t.Errorf("no listener: got %v, want unreachable", err)
	}
	for status, want := range map[int]bool{404: false, 401: false, 500: false, 502: true, 503: true} {
		if got := client.Unreachable(&client.Error{Status: status}); got != want {
			t.Errorf("status %d: got %v, want %v", status, got, want)
		}
	}
	if client.Unreachable(nil) || client.Unreachable(errors.New("disk full")) {
		t.Error("got unreachable for what has nothing to do with the server")
	}
}
