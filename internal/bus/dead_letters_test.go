package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"gantry.example/internal/bus"
	"gantry.example/messages"
)

// buried publishes a message on an intake subject and buries it; the dead letter is returned.
func buried(t *testing.T, f *fixture, r *bus.IntakeReader, m *nats.Msg) messages.DeadLetter {
	t.Helper()
	ctx := withTimeout(t)
	nc, err := f.Connect("raw")
	must(t, err)
	t.Cleanup(nc.Close)
	if _, err := nc.RequestMsgWithContext(ctx, m); err != nil {
		t.Fatal(err)
	}
	got, err := r.FetchBatch(ctx, 1, 5*time.Second)
	must(t, err)
	if len(got) != 1 {
		t.Fatalf("got %d messages, want 1", len(got))
	}
	must(t, got[0].Bury(ctx, messages.Failure{Code: messages.CodeInvalid, Message: "bad\nstart"}))
	letters, err := f.bus.DeadLetters().List(ctx, 0, 100)
	must(t, err)
	if len(letters) == 0 {
		t.Fatal("got no dead letter, want one")
	}
	return letters[len(letters)-1]
}

func TestDeadLetterIsReplayedOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	subject := messages.IntakeSubject(orgID)
	m := nats.NewMsg(subject)
	m.Data = []byte("{\x00\xff")
	m.Header.Set("Nats-Msg-Id", "deploy-1")
	m.Header.Set("X-Mine", "kept")
	r := f.bus.IntakeReader()
	letters := f.bus.DeadLetters()
	got := buried(t, f, r, m)
	want := messages.DeadLetter{
		V: messages.Version, ID: 1, Subject: subject, Stream: messages.IntakeStream, Sequence: 1, At: got.At,
		Failure: messages.Failure{Code: messages.CodeInvalid, Message: "bad\nstart"}, Data: m.Data, Size: len(m.Data),
		Headers: map[string][]string{"Nats-Msg-Id": {"deploy-1"}, "X-Mine": {"kept"}, messages.HeaderIdempotencyKey: {"deploy-1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dead letter differs (-want +got):\n%s", diff)
	}

	_, err := letters.Replay(ctx, got.ID)
	must(t, err)
	for what, err := range map[string]error{
		"replayed again": second(letters.Replay(ctx, got.ID)), "dropped": letters.Drop(ctx, got.ID), "unknown": letters.Drop(ctx, 99),
	} {
		wantCode(t, what, err, messages.CodeNotFound)
	}
	again, err := r.FetchBatch(ctx, 10, 5*time.Second)
	must(t, err)
	if len(again) != 1 || !bytes.Equal(again[0].Data, m.Data) || again[0].Key != "deploy-1" {
		t.Fatalf("after the replay: got %+v, want the message once, under its key", again)
	}
	must(t, again[0].Ack(ctx))
	if left, err := letters.List(ctx, 0, 10); err != nil || len(left) != 0 {
		t.Errorf("dead letters after the replay: got %v, %v, want none", left, err)
	}
}

func second[T any](_ T, err error) error { return err }

func wantCode(t *testing.T, what string, err error, want messages.Code) {
	t.Helper()
	var f *messages.Failure
	if !errors.As(err, &f) || f.Code != want {
		t.Errorf("%s: got %v, want code %s", what, err, want)
	}
}

func TestDeadLettersAreListedByPage(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	letters := f.bus.DeadLetters()
	r := f.bus.IntakeReader()
	for i := range 4 {
		m := nats.NewMsg(messages.IntakeSubject(orgID))
		m.Data = fmt.Append(nil, i)
		buried(t, f, r, m)
	}
	must(t, letters.Drop(ctx, 2))
	for _, c := range []struct {
		after uint64
		limit int
		want  []uint64
	}{{0, 2, []uint64{1, 3}}, {3, 2, []uint64{4}}, {4, 2, nil}} {
		got, err := letters.List(ctx, c.after, c.limit)
		must(t, err)
		var ids []uint64
		for _, d := range got {
			ids = append(ids, d.ID)
		}
		if !cmp.Equal(ids, c.want) {
			t.Errorf("after %d, limit %d: got %v, want %v", c.after, c.limit, ids, c.want)
		}
	}
	f.DeleteStream(t, messages.DeadLetterStream)
	if got, err := letters.List(ctx, 0, 2); err != nil || len(got) != 0 {
		t.Errorf("without the stream: got %v, %v, want none", got, err)
	}
}

// What does not fit is kept in part and cannot be sent again.
func TestLargeDeadLetterIsCut(t *testing.T) {
	t.Parallel()
	f := start(t)
	m := nats.NewMsg(messages.IntakeSubject(orgID))
	m.Data = bytes.Repeat([]byte("x"), 1<<20-100)
	m.Header.Set("X", strings.Repeat("h", 50))
	got := buried(t, f, f.bus.IntakeReader(), m)
	if got.Size != len(m.Data) || len(got.Data) >= got.Size || len(got.Data) < 1<<19 {
		t.Errorf("got %d of %d bytes, want a part of %d", len(got.Data), got.Size, len(m.Data))
	}
	wantCode(t, "replay", second(f.bus.DeadLetters().Replay(withTimeout(t), got.ID)), messages.CodeConflict)
}

// A worker may write dead letters of its own pool's tasks. What it writes there decides nothing: a replay goes to the
// subject NATS let it write under, carries no orders to a stream, and takes the place of no task.
func TestForgedDeadLetter(t *testing.T) {
	t.Parallel()
	f := start(t)
	ctx := withTimeout(t)
	waiting := f.task()
	must(t, f.bus.PublishTask(ctx, waiting, "1", nil))
	_, nc := f.As(t, f.worker("w1"))
	forged := encode(t, messages.DeadLetter{
		Subject: messages.IntakeSubject(orgID), Data: []byte("{}"), Size: 2, Headers: map[string][]string{"nats-rollup": {"all"}},
	})
	free := messages.TaskSubject(messages.ModeAgent, f.pool, messages.AnyLabelSet, "ws-free")
	for _, subject := range []string{waiting.Subject(), free} {
		if _, err := nc.RequestWithContext(ctx, messages.DeadLetterSubject(subject), []byte(forged)); err != nil {
			t.Fatal(err)
		}
	}
	letters := f.bus.DeadLetters()
	wantCode(t, "in the place of a task", second(letters.Replay(ctx, 1)), messages.CodeConflict)
	got, err := letters.Replay(ctx, 2)
	must(t, err)
	if got.Subject != free {
		t.Errorf("got it replayed to %s, want %s", got.Subject, free)
	}
	for _, subject := range []string{waiting.Subject(), free} {
		if has, err := f.bus.HasTask(ctx, f.pool, subject); err != nil || !has {
			t.Errorf("%s: got %t, %v, want a message there", subject, has, err)
		}
	}
}
