package bus_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus/broker"
	"gantry.example/messages"
)

const orgID = "org-123456789abcdefg"

func producer() broker.Identity { return broker.Identity{Kind: broker.KindProducer, Name: orgID} }

func TestProducerMayOnlyAsk(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	// It may call itself anything: what it may do follows from its token.
	nc, err := nats.Connect(f.ClientURL(), nats.Token(f.Authenticator.Grant(producer())), nats.Name("NATS CLI 0.3"),
		nats.CustomInboxPrefix(messages.ProducerInboxPrefix(orgID)))
	must(t, err)
	t.Cleanup(nc.Close)
	answer, err := nc.RequestWithContext(ctx, messages.IntakeSubject(orgID), []byte("{}"))
	must(t, err)
	if !strings.Contains(string(answer.Data), messages.IntakeStream) {
		t.Errorf("got %s, want the acknowledgement of the stream", answer.Data)
	}
	errs := asyncErrors(nc)
	for _, what := range []string{
		"pub " + messages.IntakeSubject("org-gfedcba987654321"), "pub intake.run." + orgID + ".x", "pub intake.>", "pub status.local.w.r.a",
		"pub task.local.local.any.ws-1", "pub dead.intake.run." + orgID, "pub cmd.local.att-1", "pub " + messages.InboxPrefix(orgID) + ".x",
		"pub $JS.API.STREAM.INFO.INTAKE", "pub $JS.API.STREAM.PURGE.INTAKE", "pub $JS.API.CONSUMER.MSG.NEXT.INTAKE.intake", "pub $JS.ACK.INTAKE.intake.1.1.1.1.1",
		"pub $JS.API.STREAM.MSG.GET.INTAKE", "pub $JS.API.STREAM.MSG.GET.DEADLETTERS", "pub $KV.LOCKS_local.ws-1",
		"sub >", "sub intake.>", "sub " + messages.IntakeSubject(orgID), "sub _INBOX.>", "sub _INBOX_org-gfedcba987654321.>", "sub dead.>", "sub status.>", "sub logs.>", "sub task.>", "sub $JS.>",
	} {
		refused(t, nc, errs, what, func() error {
			if subject, ok := strings.CutPrefix(what, "sub "); ok {
				_, err := nc.SubscribeSync(subject)
				return err
			}
			return nc.Publish(strings.TrimPrefix(what, "pub "), nil)
		})
	}
}

// TestWhatStandsBesideARequest: the key, and where an answer may go. It is sent with the server's permissions.
func TestWhatStandsBesideARequest(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	_, nc := f.As(t, producer())
	r := f.bus.IntakeReader()
	inbox := messages.ProducerInboxPrefix(orgID) + ".a.b"
	for _, c := range []struct {
		headers    map[string]string
		key, reply string
		refusedAt  string
	}{
		{nil, "INTAKE/1/", "", ""},
		{map[string]string{"Nats-Msg-Id": "m1"}, "m1", "", ""},
		{map[string]string{"Nats-Msg-Id": "m2", messages.HeaderIdempotencyKey: "k"}, "k", "", ""},
		{map[string]string{messages.HeaderIdempotencyKey: strings.Repeat("k", 256)}, "k", "", messages.HeaderIdempotencyKey},
		{map[string]string{messages.HeaderReplyTo: inbox}, "INTAKE/", inbox, ""},
		{map[string]string{messages.HeaderReplyTo: "task.local.local.any.ws-1"}, "INTAKE/", "", messages.HeaderReplyTo},
		{map[string]string{messages.HeaderReplyTo: "$JS.API.STREAM.DELETE.STATUS"}, "INTAKE/", "", messages.HeaderReplyTo},
		{map[string]string{messages.HeaderReplyTo: messages.ProducerInboxPrefix("org-gfedcba987654321") + ".x"}, "INTAKE/", "", messages.HeaderReplyTo},
		{map[string]string{messages.HeaderReplyTo: messages.ProducerInboxPrefix(orgID) + ".>"}, "INTAKE/", "", messages.HeaderReplyTo},
		{map[string]string{messages.HeaderReplyTo: messages.ProducerInboxPrefix(orgID) + ".a..b"}, "INTAKE/", "", messages.HeaderReplyTo},
	} {
		m := nats.NewMsg(messages.IntakeSubject(orgID))
		for k, v := range c.headers {
			m.Header.Set(k, v)
		}
		if _, err := nc.RequestMsgWithContext(ctx, m); err != nil {
			t.Fatal(err)
		}
		got, err := r.FetchBatch(ctx, 10, 5*time.Second)
		must(t, err)
		if len(got) != 1 {
			t.Fatalf("%v: got %d messages, want 1", c.headers, len(got))
		}
		d := got[0]
		must(t, d.Ack(ctx))
		if d.OrganizationID != orgID || !strings.HasPrefix(d.Key, c.key) || d.ReplyTo != c.reply {
			t.Errorf("%v: got organization %s, key %s, reply to %q, want %s, %s, %q", c.headers, d.OrganizationID, d.Key, d.ReplyTo, orgID, c.key, c.reply)
		}
		if (d.Err != nil) != (c.refusedAt != "") || d.Err != nil && !strings.Contains(d.Err.Error(), "field "+c.refusedAt) {
			t.Errorf("%v: got error %v, want it about %q", c.headers, d.Err, c.refusedAt)
		}
	}
}
