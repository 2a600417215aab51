package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gantry.example/messages"
)

// PublishLogChunk sends the bytes of an attempt's log from offset on and returns when they are stored. Sending the same
// chunk again stores it once; a reader places chunks by offset, so overlaps are harmless too.
func (b *Bus) PublishLogChunk(ctx context.Context, pool, runID, attemptID string, offset int64, data []byte) error {
	if len(data) > messages.MaxLogChunk {
		return fmt.Errorf("log of %s: chunk of %d bytes, at most %d are allowed", attemptID, len(data), messages.MaxLogChunk)
	}
	m := &nats.Msg{Subject: messages.LogSubject(pool, runID, attemptID), Data: data, Header: nats.Header{}}
	m.Header.Set(messages.HeaderOffset, strconv.FormatInt(offset, 10))
	return b.publishLog(ctx, m, attemptID, fmt.Sprintf("%d+%d", offset, len(data)))
}

// PublishLogEnd sends the last bytes of the attempt's log, if any are left, and says that it is complete with them; sha256 is
// the hex digest of the whole.
func (b *Bus) PublishLogEnd(ctx context.Context, pool, runID, attemptID string, offset int64, rest []byte, sha256 string) error {
	if len(rest) > messages.MaxLogChunk {
		return fmt.Errorf("log of %s: last chunk of %d bytes, at most %d are allowed", attemptID, len(rest), messages.MaxLogChunk)
	}
	m := &nats.Msg{Subject: messages.LogSubject(pool, runID, attemptID), Data: rest, Header: nats.Header{}}
	m.Header.Set(messages.HeaderOffset, strconv.FormatInt(offset, 10))
	m.Header.Set(messages.HeaderEnd, "true")
	m.Header.Set(messages.HeaderSHA256, sha256)
	return b.publishLog(ctx, m, attemptID, "end")
}

func (b *Bus) publishLog(ctx context.Context, m *nats.Msg, attemptID, part string) error {
	if err := b.publish(ctx, m, attemptID+"/log/"+part); err != nil {
		return fmt.Errorf("log of %s: publish %s: %w", attemptID, part, err)
	}
	return nil
}

// LogReader reads all log chunks for the log service, under the same rules as EventReader.
type LogReader struct{ pull puller }

// LogReader returns the log service's reader; its durable consumer is created when needed.
func (b *Bus) LogReader() *LogReader {
	r := &LogReader{b.reader(messages.LogStream, messages.LogConsumer)}
	r.pull.forgets = true
	return r
}

// LogDelivery is one chunk, or the end, of an attempt's log. If Err is not nil the message is unusable: Bury it.
type LogDelivery struct {
	Pool      string
	RunID     string
	AttemptID string
	Offset    int64 // of the first byte of Data
	Data      []byte
	End       bool   // nothing follows Data
	SHA256    string // at the end: hex digest of the whole log
	Sequence  uint64 // place in the stream; restarts when the stream is rebuilt
	Err       error
	Receipt
}

// FetchBatch returns what is there, up to limit chunks, or waits up to wait for the first; none is no error. After an
// error (ErrNoStream: call EnsureLogs) the next call starts afresh; wait a little before it.
func (r *LogReader) FetchBatch(ctx context.Context, limit int, wait time.Duration) ([]LogDelivery, error) {
	msgs, err := r.pull.batch(ctx, limit, wait)
	out := make([]LogDelivery, 0, len(msgs))
	for _, m := range msgs {
		out = append(out, logDelivery(Receipt{r.pull.bus, m}))
	}
	return out, err
}

func logDelivery(r Receipt) LogDelivery {
	m := r.msg
	d := LogDelivery{
		Data:     m.Data(),
		End:      m.Headers().Get(messages.HeaderEnd) != "",
		SHA256:   m.Headers().Get(messages.HeaderSHA256),
		Sequence: sequence(m),
		Receipt:  r,
	}
	tokens := strings.Split(m.Subject(), ".")
	if len(tokens) != 4 {
		d.Err = fmt.Errorf("log message on %s: not a log subject", m.Subject())
		return d
	}
	d.Pool, d.RunID, d.AttemptID = tokens[1], tokens[2], tokens[3]
	offset, err := strconv.ParseInt(m.Headers().Get(messages.HeaderOffset), 10, 64)
	if err != nil || offset < 0 {
		d.Err = fmt.Errorf("log message on %s: header %s: %q is not an offset", m.Subject(), messages.HeaderOffset, m.Headers().Get(messages.HeaderOffset))
		return d
	}
	d.Offset = offset
	return d
}
