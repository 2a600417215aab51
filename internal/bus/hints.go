package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

// Hinter is the server's side of the choice among agents: it hears how busy they are and hints tasks to them. Nothing of it
// is stored. Safe for concurrent use; Close it.
type Hinter struct {
	nc    *nats.Conn
	inbox string // hints are sent as requests with the id below this subject, because then NATS says who is not there
	subs  []*nats.Subscription
}

// HintEars are called with what a Hinter hears, each from one goroutine.
type HintEars struct {
	Load   func(pool, worker string, l messages.Load)
	Absent func(hintID string) // nobody listened for the hint: its worker is not connected
}

const statusHeader = "Status"

// Hinter starts to listen. The connection needs every permission.
func (b *Bus) Hinter(ears HintEars) (*Hinter, error) {
	h := &Hinter{nc: b.nc, inbox: nats.NewInbox()}
	loads, err := b.nc.Subscribe(messages.LoadSubject("*", "*"), func(m *nats.Msg) {
		var l messages.Load
		if at := strings.Split(m.Subject, "."); len(at) == 3 && json.Unmarshal(m.Data, &l) == nil {
			ears.Load(at[1], at[2], l)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to agents: %w", err)
	}
	h.subs = append(h.subs, loads)
	absent, err := b.nc.Subscribe(h.inbox+".*", func(m *nats.Msg) {
		if m.Header.Get(statusHeader) == noResponders {
			ears.Absent(strings.TrimPrefix(m.Subject, h.inbox+"."))
		}
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for hints that find nobody: %w", err), h.Close())
	}
	h.subs = append(h.subs, absent)
	return h, nil
}

// Hint sends a hint to a worker of the pool. It does not wait; the id must be usable as a token of a subject.
func (h *Hinter) Hint(pool, worker string, hint messages.Hint) error {
	body, err := json.Marshal(hint)
	if err == nil {
		err = h.nc.PublishRequest(messages.HintSubject(pool, worker), h.inbox+"."+hint.ID, body)
	}
	if err != nil {
		return fmt.Errorf("hint to worker %s: %w", worker, err)
	}
	return nil
}

// Close stops listening.
func (h *Hinter) Close() error {
	var err error
	for _, s := range h.subs {
		err = errors.Join(err, s.Unsubscribe())
	}
	return err
}
