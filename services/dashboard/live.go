package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"gantry.example/services/postgres"
)

// livePace is how often an open page is read anew at most, however much happens.
const livePace = time.Second

// live tells an open page that something of it may have changed: it reads itself anew then. It carries no data, so it needs no
// rights beside a session, and what it costs does not depend on how much happens.
func (s *Server) live(w http.ResponseWriter, r *http.Request, _ postgres.Session) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	wake, unsubscribe := s.cfg.Notifier.Subscribe(postgres.ChannelEvents, "")
	defer unsubscribe()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	look := time.NewTicker(heartbeatEvery)
	defer look.Stop()
	for text := ":\n\n"; ; {
		_ = control.SetWriteDeadline(time.Now().Add(writeWithin)) // not every connection has one
		if _, err := fmt.Fprint(w, text); err != nil {
			return nil // the browser is gone
		}
		if err := control.Flush(); err != nil {
			return nil
		}
		pace := time.NewTimer(livePace)
		select {
		case <-ctx.Done():
			pace.Stop()
			return nil
		case <-pace.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-look.C: // what nobody notifies, such as an agent that is silent
		}
		if _, err := s.session(r); err != nil {
			return nil // logged out, perhaps in another tab
		}
		text = "event: changed\ndata: {}\n\n"
	}
}
