package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// Bounds of what a hub keeps in memory for its readers. One that is slower than that is dropped with the position it has.
const (
	hubEntries = 4096
	hubBytes   = 2 << 20
	// hubPace is how often the events are read at most, and so how often each reader writes.
	hubPace = 100 * time.Millisecond
	// rightsFor is how long the answer counts whether a reader may still read.
	rightsFor = 5 * time.Second
)

// hubs are the hubs of the organizations that somebody reads. Safe for concurrent use.
type hubs struct {
	mu  sync.Mutex
	all map[string]*hub // by the organization's id; guarded by mu
}

// hub reads the events of an organization once, however many streams are open, and keeps the newest in memory for all of them.
// It never waits for a reader: who does not come along finds what it wants to read next gone. Safe for concurrent use.
type hub struct {
	s            *Server
	organization string
	cancel       context.CancelFunc
	readers      int // guarded by hubs.mu

	turning sync.Mutex         // one turn at a time
	cursor  postgres.Cursor    // guarded by turning
	runs    map[string]run.Run // those that go on, as of their last event; guarded by turning
	begun   bool               // guarded by turning

	mu      sync.Mutex
	first   int64           // number of the oldest entry kept; guarded by mu, as what follows
	entries []*entry        // elements are never changed, nor is the array below them
	bytes   int             // of their frames
	at      postgres.Cursor // after the last entry
	grown   chan struct{}   // closed when there are more

	rightsMu sync.Mutex
	rights   map[[sha256.Size]byte]judged // by bearer; guarded by rightsMu
}

// judged is an answer to whether somebody may still read.
type judged struct {
	until time.Time
	err   error
}

// entry is one event with the run after it, as the streams send it.
type entry struct {
	workspace, pool string
	brief           []byte // a whole event of a stream, see gantry_feed.go
	full            func() ([]byte, error)
}

// join returns the organization's hub for a reader, who calls leave when done.
func (s *Server) join(organization string) *hub {
	s.hubs.mu.Lock()
	defer s.hubs.mu.Unlock()
	h := s.hubs.all[organization]
	if h == nil {
		ctx, cancel := context.WithCancel(s.stop)
		h = &hub{s: s, organization: organization, cancel: cancel, runs: map[string]run.Run{}, grown: make(chan struct{}), rights: map[[sha256.Size]byte]judged{}}
		s.hubs.all[organization] = h
		go h.work(ctx) // ends with the last reader
	}
	h.readers++
	return h
}

func (h *hub) leave() {
	h.s.hubs.mu.Lock()
	defer h.s.hubs.mu.Unlock()
	if h.readers--; h.readers == 0 {
		delete(h.s.hubs.all, h.organization)
		h.cancel()
	}
}

// work reads on whenever something happened, and now and then.
func (h *hub) work(ctx context.Context) {
	wake, stop := h.s.notifier.Subscribe(postgres.ChannelEvents, "")
	defer stop()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		if err := h.turn(ctx); err != nil && ctx.Err() == nil {
			h.s.log.Warn("events could not be read, trying again", "organization", h.organization, "error", err)
		}
		pace := time.NewTimer(hubPace)
		select {
		case <-ctx.Done():
			pace.Stop()
			return
		case <-pace.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-poll.C:
		}
	}
}

// turn reads what happened since the last one.
func (h *hub) turn(ctx context.Context) error {
	h.turning.Lock()
	defer h.turning.Unlock()
	if !h.begun {
		_, c, err := h.s.db.Snapshot(ctx, h.organization, 0)
		if err != nil {
			return err
		}
		h.cursor, h.begun = c, true
	}
	events, cursor, err := h.s.db.Follow(ctx, h.organization, h.cursor)
	if errors.Is(err, postgres.ErrOtherEra) {
		h.begin()
	}
	if err != nil {
		return err
	}
	fresh := make([]*entry, 0, len(events))
	for _, e := range events {
		after, err := h.s.after(ctx, h.runs, e.Event)
		if err != nil {
			return err
		}
		made, err := newEntry(e, after)
		if err != nil {
			return err
		}
		fresh = append(fresh, made)
	}
	h.cursor = cursor
	h.publish(fresh, cursor)
	return nil
}

// begin forgets everything, and with it all readers: what they know is of another era.
func (h *hub) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun = false
	clear(h.runs)
	h.first += int64(len(h.entries)) + 1
	h.entries, h.bytes = nil, 0
	close(h.grown)
	h.grown = make(chan struct{})
}

// after is the run right after the event, folded from those that are remembered where it can be.
func (s *Server) after(ctx context.Context, runs map[string]run.Run, e run.Event) (run.Run, error) {
	before, ok := runs[e.RunID]
	after := run.Fold(before, e)
	if !ok || before.Seq != e.Seq-1 {
		var err error
		if after, err = s.foldRun(ctx, e.RunID, run.Run{}, e.Seq); err != nil {
			return after, err
		}
	}
	if after.Status.Final() {
		delete(runs, after.ID)
	} else {
		runs[after.ID] = after
	}
	return after, nil
}

func (h *hub) publish(fresh []*entry, cursor postgres.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = cursor
	if len(fresh) == 0 {
		return
	}
	for _, e := range fresh {
		h.bytes += len(e.brief)
	}
	h.entries = append(h.entries, fresh...)
	if len(h.entries) > hubEntries || h.bytes > hubBytes { // down to half, so that it is rare
		for len(h.entries) > hubEntries/2 || h.bytes > hubBytes/2 {
			h.bytes -= len(h.entries[0].brief)
			h.entries, h.first = h.entries[1:], h.first+1
		}
		h.entries = append(make([]*entry, 0, hubEntries), h.entries...) // readers may still look at the old array
	}
	close(h.grown)
	h.grown = make(chan struct{})
}

// position is where a reader that knows everything before the cursor goes on.
func (h *hub) position(ctx context.Context) (int64, postgres.Cursor, error) {
	// The turn makes the hub's position at least as new as any cursor that was given out before.
	if err := h.turn(ctx); err != nil {
		return 0, postgres.Cursor{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first + int64(len(h.entries)), h.at, nil
}

// from returns the entries from a position on, a channel that is closed when there are more, and whether the position is
// still there.
func (h *hub) from(position int64) (entries []*entry, at postgres.Cursor, grown <-chan struct{}, there bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if position < h.first {
		return nil, h.at, h.grown, false
	}
	return h.entries[position-h.first : len(h.entries) : len(h.entries)], h.at, h.grown, true
}

// still reports, as an error, that the reader may not read any more. Readers with the same token share an answer.
func (h *hub) still(ctx context.Context, r *request) error {
	key := sha256.Sum256([]byte(r.bearer + "\x00" + r.token.ID + "\x00" + r.token.UserID))
	h.rightsMu.Lock()
	found, ok := h.rights[key]
	h.rightsMu.Unlock()
	now := time.Now()
	if ok && now.Before(found.until) {
		return found.err
	}
	err := h.s.mayRead(ctx, r, h.organization)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.rightsMu.Lock()
	defer h.rightsMu.Unlock()
	if len(h.rights) > 2*hubEntries {
		clear(h.rights) // of readers that are gone
	}
	h.rights[key] = judged{now.Add(rightsFor), err}
	return err
}

// newEntry encodes an event for all that will read it.
func newEntry(e postgres.FeedEvent, after run.Run) (*entry, error) {
	id, public := e.Cursor.String(), e.Event.Public()
	brief, err := encode(eventChange, id, statusChange{public, briefly(after)})
	if err != nil {
		return nil, err
	}
	return &entry{workspace: after.WorkspaceID, pool: after.Pool, brief: brief, full: sync.OnceValues(func() ([]byte, error) {
		return encode(eventChange, id, runChange{public, after.Public()})
	})}, nil
}

// encode makes one server-sent event.
func encode(event, id string, data any) ([]byte, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "event: %s\nid: %s\ndata: %s\n\n", event, id, b), nil
}
