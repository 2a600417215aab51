package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gantry.example/messages"
)

// Statuses of answers that are no message.
const (
	noResponders = "503"
	nothingThere = "404"
	pullExpired  = "408"
)

// pullRequest is the body of a pull, as the server reads it.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"`
	NoWait  bool          `json:"no_wait,omitempty"`
}

// poolPuller pulls from the consumers of a pool, one request at a time. Unlike a puller it needs no question before the first
// pull, and one inbox for all consumers: an agent may have a hundred of them. Not for concurrent use.
type poolPuller struct {
	bus     *Bus
	pool    string
	status  chan nats.Status // changes of the connection
	inbox   string
	answers chan *nats.Msg
	sub     *nats.Subscription // nil: to be made
}

// one asks the consumer of a label set for one message: for what is there now, or, if wait is not 0, for what comes until
// then. Neither message nor error means that there is none, or no such consumer.
func (p *poolPuller) one(labelSet string, wait time.Duration) (*Receipt, error) {
	if !p.bus.nc.IsConnected() {
		return nil, ErrDisconnected
	}
	consumer := messages.TaskConsumer(labelSet)
	m, err := p.ask("$JS.API.CONSUMER.MSG.NEXT."+messages.TaskStream(p.pool)+"."+consumer, wait)
	if err != nil {
		return nil, fmt.Errorf("pull from consumer %s of pool %s: %w", consumer, p.pool, err)
	}
	switch status := m.Header.Get(statusHeader); status {
	case "":
		return &Receipt{p.bus, pulled{p.bus.nc, m}}, nil
	case nothingThere, pullExpired, noResponders:
		return nil, nil
	default:
		return nil, fmt.Errorf("pull from consumer %s of pool %s: %s %s", consumer, p.pool, status, m.Header.Get("Description"))
	}
}

// ask is a request by hand: the answer has the subject of the task and not that of the inbox, so the connection's own
// requests, of which there may be several at a time, would not know it. The server ends the pull, not we and no context: a
// message that it sends to somebody who has gone comes again only after AckWait.
func (p *poolPuller) ask(subject string, wait time.Duration) (*nats.Msg, error) {
	body, err := json.Marshal(pullRequest{Batch: 1, Expires: wait, NoWait: wait == 0})
	if err == nil {
		err = p.listen()
	}
	if err == nil {
		err = p.bus.nc.PublishRequest(subject, p.inbox, body)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	limit := time.NewTimer(wait + requestTimeout)
	defer limit.Stop()
	for {
		select {
		case m := <-p.answers:
			return m, nil
		case s := <-p.status:
			if s == nats.CONNECTED {
				continue // said late, of a connection that we used already
			}
			err = ErrDisconnected
		case <-limit.C:
			err = nats.ErrTimeout
		}
		p.close() // an answer that is late must not be taken for that to the next question
		return nil, err
	}
}

func (p *poolPuller) listen() (err error) {
	if p.sub != nil {
		return nil
	}
	p.inbox, p.answers = p.bus.nc.NewInbox(), make(chan *nats.Msg, 1)
	p.sub, err = p.bus.nc.ChanSubscribe(p.inbox, p.answers)
	return err
}

func (p *poolPuller) close() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // fails where the connection is closed, which ends it too
		p.sub = nil
	}
}

// pulled is the answer to a raw pull as a message that can be acknowledged.
type pulled struct {
	nc *nats.Conn
	m  *nats.Msg
}

func (p pulled) Subject() string      { return p.m.Subject }
func (p pulled) Data() []byte         { return p.m.Data }
func (p pulled) Headers() nats.Header { return p.m.Header }

func (p pulled) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := p.m.Metadata()
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: meta.Sequence.Consumer, Stream: meta.Sequence.Stream},
		NumDelivered: meta.NumDelivered, NumPending: meta.NumPending, Timestamp: meta.Timestamp,
		Stream: meta.Stream, Consumer: meta.Consumer, Domain: meta.Domain,
	}, nil
}

func (p pulled) DoubleAck(ctx context.Context) error { return p.m.AckSync(nats.Context(ctx)) }

func (p pulled) NakWithDelay(d time.Duration) error { return p.m.NakWithDelay(d) }

func (p pulled) TermWithReason(reason string) error {
	return p.nc.Publish(p.m.Reply, []byte("+TERM "+reason))
}
