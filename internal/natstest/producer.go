package natstest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

// patience bounds what a producer waits for.
const patience = 20 * time.Second

// Producer publishes run requests with the permissions of an organization's token.
type Producer struct {
	nc           *nats.Conn
	organization string
}

// Producer connects a producer of the organization.
func (s *Server) Producer(t testing.TB, organizationID string) *Producer {
	t.Helper()
	_, nc := s.As(t, broker.Identity{Kind: broker.KindProducer, Name: organizationID})
	return &Producer{nc, organizationID}
}

// Publish publishes a request with headers (name, value, …) and waits until the stream has it.
func (p *Producer) Publish(t testing.TB, body []byte, headers ...string) {
	t.Helper()
	if err := p.publish(t, body, headers); err != nil {
		t.Fatalf("natstest: request not stored: %v", err)
	}
}

func (p *Producer) publish(t testing.TB, body []byte, headers []string) error {
	m := nats.NewMsg(messages.IntakeSubject(p.organization))
	m.Data = body
	for i := 0; i+1 < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stored, err := p.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return err
	}
	var ack struct{ Error *struct{ Description string } }
	if err := json.Unmarshal(stored.Data, &ack); err != nil {
		return err
	}
	if ack.Error != nil {
		return errors.New(ack.Error.Description)
	}
	return nil
}

// Ask publishes a request and returns its answer.
func (p *Producer) Ask(t testing.TB, body []byte, headers ...string) messages.RunAnswer {
	t.Helper()
	return p.ask(t, func(headers []string) { p.Publish(t, body, headers...) }, headers)
}

// AskUntilStored is Ask for a stream that is missing and comes back.
func (p *Producer) AskUntilStored(t testing.TB, body []byte, headers ...string) messages.RunAnswer {
	t.Helper()
	return p.ask(t, func(headers []string) {
		deadline := time.Now().Add(patience)
		for p.publish(t, body, headers) != nil {
			if time.Now().After(deadline) {
				t.Fatal("natstest: the stream of run requests did not come back")
			}
			<-time.After(10 * time.Millisecond)
		}
	}, headers)
}

func (p *Producer) ask(t testing.TB, publish func(headers []string), headers []string) messages.RunAnswer {
	t.Helper()
	inbox := p.nc.NewRespInbox()
	sub, err := p.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatalf("natstest: %v", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	publish(append([]string{messages.HeaderReplyTo, inbox}, headers...))
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("natstest: no answer: %v", err)
	}
	var a messages.RunAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		t.Fatalf("natstest: answer %s: %v", m.Data, err)
	}
	return a
}
