package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Messages of the stream of a run page. Only changes have an id: a view says how things are now, whichever changes the
// page has seen.
const (
	messageView   = "view"
	messageChange = "change"
	messageEnd    = "end" // nothing will change any more: do not reconnect
)

const (
	// lookEvery bounds what a lost notification costs, and what nobody notifies: a workspace that is unlocked, a run ahead
	// that goes on.
	lookEvery      = 5 * time.Second
	heartbeatEvery = 15 * time.Second // keeps proxies from closing a silent stream, and finds readers that are gone
	writeWithin    = 30 * time.Second // how long a reader that does not read may hold the stream up
	streamBatch    = 200
)

// viewMessage is what replaces the parts of the page.
type viewMessage struct {
	Title string                    `json:"title"`
	Parts map[string]template.HTML  `json:"parts"` // by the id of the element
	Begun []messages.Phase          `json:"begun"` // the phases that have a log
	Logs  map[messages.Phase]string `json:"logs,omitempty"`
}

// changeMessage is one more entry of the timeline.
type changeMessage struct {
	Seq  int64         `json:"seq"`
	HTML template.HTML `json:"html"`
}

// runStream keeps one open page up to date: first how the run is, then every change after the one the page has.
func (s *Server) runStream(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	of, ws, _, err := s.runOf(r, session)
	if err != nil {
		return err
	}
	after, err := lastSeen(r, of)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stop, cancel)()
	// Subscribed before the first read, so that no change falls between the two.
	wake, unsubscribe := s.cfg.Notifier.Subscribe(postgres.ChannelEvents, of.ID)
	defer unsubscribe()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would collect messages before it passes them on
	p := &pageStream{s: s, r: r, w: w, control: http.NewResponseController(w), runID: of.ID, workspaceID: ws.ID, seq: after}
	var gone *problem // the run, or the reader's membership
	if err := p.follow(ctx, wake); err != nil && ctx.Err() == nil && !errors.Is(err, errGone) && !unauthorized(err) && !errors.As(err, &gone) {
		s.cfg.Log.Error("run page's stream ended", "run", of.ID, "error", err)
	}
	return nil
}

// lastSeen is the number of the last event the page has: after a reconnect the browser says it, at first the page does.
func lastSeen(r *http.Request, of run.Run) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return 0, nil
	}
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seq < 0 || seq > of.Seq {
		return 0, &problem{status: http.StatusBadRequest, title: "Not understood", text: fmt.Sprintf("Run %s has no event %q. Reload the page.", of.ID, text)}
	}
	return seq, nil
}

// errGone tells that the browser does not take the stream any more.
var errGone = errors.New("the browser is gone")

// pageStream is the stream of one open page. Used by the goroutine of its request only.
type pageStream struct {
	s                  *Server
	r                  *http.Request
	w                  http.ResponseWriter
	control            *http.ResponseController
	runID, workspaceID string
	seq                int64        // of the last event sent
	shown              *viewMessage // the last view sent
}

func (p *pageStream) follow(ctx context.Context, wake <-chan struct{}) error {
	look, heartbeat := time.NewTicker(lookEvery), time.NewTicker(heartbeatEvery)
	defer look.Stop()
	defer heartbeat.Stop()
	for {
		over, err := p.update(ctx)
		if err == nil && over {
			err = p.send(messageEnd, "", struct{}{})
		}
		if err == nil {
			err = p.flush()
		}
		if err != nil || over {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-look.C:
		case <-heartbeat.C:
			if err := p.write(":\n\n"); err != nil {
				return err
			}
		}
	}
}

// update sends what is new, and reports whether it was the last.
func (p *pageStream) update(ctx context.Context) (over bool, err error) {
	session, err := p.s.session(p.r)
	if err != nil {
		return false, err // logged out, perhaps in another tab
	}
	// The run is read before its events: then a final run has sent all of them. Whoever is no member any more finds none.
	of, _, who, err := p.s.runOf(p.r, session)
	if err != nil {
		return false, err
	}
	for {
		events, err := p.s.cfg.DB.RunEvents(ctx, p.runID, p.seq, streamBatch)
		if err != nil {
			return false, err
		}
		if len(events) > 0 {
			if _, err := p.s.session(p.r); err != nil {
				return false, err // ended while they were read: they may be of afterwards
			}
		}
		for _, e := range events {
			if err := p.change(e); err != nil {
				return false, err
			}
			p.seq = e.Seq
		}
		if len(events) < streamBatch {
			break
		}
	}
	return of.Status.Final() && !of.OutcomeUnknown, p.view(ctx, of, who)
}

func (p *pageStream) change(e run.Event) error {
	entry, err := p.s.pages.render("event", eventView{e, eventText(e), eventTone(e.Type)})
	if err != nil {
		return err
	}
	return p.send(messageChange, strconv.FormatInt(e.Seq, 10), changeMessage{e.Seq, template.HTML(entry)})
}

// view sends how things are, unless the page shows just that.
func (p *pageStream) view(ctx context.Context, of run.Run, who viewer) error {
	ws, err := p.s.cfg.DB.Workspace(ctx, p.workspaceID)
	if err != nil {
		return err
	}
	v, err := p.s.view(ctx, of, ws, who)
	if err != nil {
		return err
	}
	now := viewMessage{Title: title(v)}
	if now.Parts, err = p.s.parts(v); err != nil {
		return err
	}
	for _, t := range of.Tasks() {
		now.Begun = append(now.Begun, t.Phase)
	}
	if p.shown == nil {
		// Addresses expire, so each connection brings new ones.
		if now.Logs, err = p.s.logs(of.ID); err != nil {
			return err
		}
	} else if now.Title == p.shown.Title && maps.Equal(now.Parts, p.shown.Parts) {
		return nil
	}
	p.shown = &now
	return p.send(messageView, "", now)
}

func (p *pageStream) send(message, id string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return p.write(fmt.Sprintf("event: %s\n%sdata: %s\n\n", message, id, b))
}

func (p *pageStream) write(text string) error {
	if err := p.extend(); err != nil {
		return err
	}
	if _, err := io.WriteString(p.w, text); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// extend replaces the write deadline of the server, which is meant for answers that end.
func (p *pageStream) extend() error {
	err := p.control.SetWriteDeadline(time.Now().Add(writeWithin))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

func (p *pageStream) flush() error {
	if err := p.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}
