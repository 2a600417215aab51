package browser_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// The example board shows what happens, through a proxy that has the token.
func TestTheExampleBoard(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	r := s.newRun("on the board", run.Options{PlanOnly: true})
	to, err := url.Parse(s.server.URL)
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("../../examples/status-board")))
	mux.Handle("/api/gantry/v1/events", &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Header.Set("Authorization", "Bearer "+adminToken)
	}})
	board := httptest.NewServer(mux)
	t.Cleanup(board.CloseClientConnections) // the stream is open
	s.do(chromedp.Navigate(board.URL))
	s.shows("#runs", "plan queued: on the board")
	s.give(r.ID, run.Cancel{})
	s.shows("#runs", "canceled: on the board")
}

// The example board on NATS needs no proxy: it has a token that can do nothing but this, and read.
func TestTheExampleBoardOnNATS(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	o, err := s.db.Organization(t.Context(), "default")
	must(t, err)
	_, secret, err := s.db.CreateToken(t.Context(), postgres.NewToken{Description: "board", OrganizationID: o.ID, Role: postgres.RoleRead})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("../../examples/status-board")))
	mux.Handle("/nats.js", http.FileServer(http.Dir("testdata"))) // nats.ws of npm
	mux.HandleFunc("/settings.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{
			"server": "ws" + strings.TrimPrefix(s.server.URL, "http") + "/nats", "organization": o.ID, "token": secret,
		})
	})
	board := httptest.NewServer(mux)
	t.Cleanup(board.Close)
	s.do(chromedp.Navigate(board.URL + "/nats.html"))
	s.until(`document.title === "Runs, live"`)
	r := s.newRun("on the board", run.Options{PlanOnly: true})
	s.shows("#runs", "plan queued: on the board")
	s.give(r.ID, run.Cancel{})
	s.shows("#runs", "canceled: on the board")
}
