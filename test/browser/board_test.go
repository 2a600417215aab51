package browser_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/chromedp/chromedp"

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
