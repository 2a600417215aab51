package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"gantry.example/internal/mask"
	"gantry.example/messages"
)

// logPause is how long printed bytes wait for more, so that a log does not become a chunk per line. The end does not wait.
const logPause = 50 * time.Millisecond

// logPatience is how long the first bytes wait, so that the log of a run that is over by then is one message.
const logPatience = stagePatience

// Pauses between tries to store a chunk; half of each is random.
const (
	firstLogPause = 50 * time.Millisecond
	maxLogPause   = 2 * time.Second
)

// logStream is the attempt's log: a file that terraform and we append to, and a goroutine that carries it to the sink.
// The file is the truth; the sink gets each byte in order, as often as it takes, but for secrets, which are masked on the
// way: sizes, offsets and the hash are those of the masked log.
type logStream struct {
	file  *os.File
	hide  *mask.Secrets
	limit int64 // see Assignment.LogLimit
	log   *slog.Logger
	quit  context.CancelFunc
	end   chan logEnd   // sent once, when nothing more is appended
	done  chan struct{} // closed when everything is stored, or when the stream was stopped
}

// logEnd says what the complete log is.
type logEnd struct {
	size   int64 // masked
	sha256 string
	raw    int64 // size of the file
}

func openLog(path string, hide *mask.Secrets, limit int64, log *slog.Logger) (*logStream, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	return &logStream{file: f, hide: hide, limit: limit, log: log, quit: func() {}, end: make(chan logEnd, 1), done: make(chan struct{})}, nil
}

// printf appends lines of ours.
func (l *logStream) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(l.file, strings.TrimRight(format, "\n")+"\n", args...); err != nil {
		l.log.Error("the attempt's log cannot be written", "error", err)
	}
}

// start begins to carry the log to the sink. Call it at most once.
func (l *logStream) start(sink LogSink) {
	ctx, cancel := context.WithCancel(context.Background())
	l.quit = cancel
	go func() {
		defer close(l.done)
		if err := l.carry(ctx, sink); err != nil && ctx.Err() == nil {
			l.log.Error("the attempt's log is not carried any further", "error", err)
		}
	}()
}

// finish declares the log complete. Nothing may be appended after it.
func (l *logStream) finish() (logEnd, error) {
	hash := sha256.New()
	raw := io.NewSectionReader(l.file, 0, 1<<62)
	stored := logCutter{logCut: logCut{limit: l.limit}, to: hash}
	if _, err := l.hide.Copy(&stored, raw); err != nil {
		return logEnd{}, err
	}
	size := stored.end()
	read, _ := raw.Seek(0, io.SeekCurrent) // cannot fail
	end := logEnd{size: size, sha256: hex.EncodeToString(hash.Sum(nil)), raw: read}
	l.end <- end
	return end, nil
}

// stop ends the carrying, complete or not, and closes the file. It must be called after start.
func (l *logStream) stop() {
	l.quit()
	<-l.done
	_ = l.file.Close()
}

func (l *logStream) carry(ctx context.Context, sink LogSink) error {
	written, stopWatching := watchFile(l.file.Name())
	defer stopWatching()
	from := logReader{file: l.file, buf: make([]byte, messages.MaxLogChunk), mask: l.hide.Stream(), cut: logCut{limit: l.limit}}
	var offset int64
	end, err := l.pause(ctx, logPatience)
	for err == nil {
		chunk, read := from.next(end)
		if read != nil {
			return read
		}
		n := int64(len(chunk))
		switch {
		case end != nil && offset+n >= end.size:
			return l.untilStored(ctx, func() error { return sink.End(ctx, offset, chunk, end.sha256) })
		case n == 0:
			end, err = l.more(ctx, written)
		default:
			err = l.untilStored(ctx, func() error { return sink.Chunk(ctx, offset, chunk) })
			offset += n
			if err == nil && n < messages.MaxLogChunk && end == nil {
				end, err = l.pause(ctx, logPause)
			}
		}
	}
	return err
}

// more waits until something is written, and a little longer, or for the end of the log, which it returns.
func (l *logStream) more(ctx context.Context, written <-chan struct{}) (*logEnd, error) {
	select {
	case e := <-l.end:
		return &e, nil
	case <-written:
		return l.pause(ctx, logPause)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// logReader reads the file through the mask.
type logReader struct {
	file  *os.File
	buf   []byte
	at    int64 // read so far
	mask  *mask.Stream
	cut   logCut
	ready []byte // masked, cut and not taken yet
}

// next returns what is there, a chunk at most, good until the next call. What may be the beginning of a secret is not there
// before its end, or that of the log, is.
func (r *logReader) next(end *logEnd) ([]byte, error) {
	for len(r.ready) < messages.MaxLogChunk {
		n, err := r.file.ReadAt(r.buf, r.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		r.at += int64(n)
		if out := r.cut.add(r.mask.Add(r.buf[:n])); len(r.ready) == 0 {
			r.ready = out // without secrets it is buf itself, which is read into when it is sent
		} else {
			r.ready = append(r.ready, out...)
		}
		if n < len(r.buf) {
			break
		}
	}
	if end != nil && r.at >= end.raw {
		r.ready = append(r.ready, r.cut.add(r.mask.Rest())...)
		r.ready = append(r.ready, r.cut.rest()...)
	}
	chunk := r.ready[:min(len(r.ready), messages.MaxLogChunk)]
	r.ready = r.ready[len(chunk):]
	return chunk, nil
}

// pause waits for d or the end of the log, which it returns.
func (l *logStream) pause(ctx context.Context, d time.Duration) (*logEnd, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case e := <-l.end:
		return &e, nil
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// untilStored repeats store until it succeeds or ctx ends.
func (l *logStream) untilStored(ctx context.Context, store func() error) error {
	for pause := firstLogPause; ; pause = min(2*pause, maxLogPause) {
		err := store()
		if err == nil {
			return nil
		}
		if pause == firstLogPause {
			l.log.Warn("the log is kept on disk until it can be stored", "error", err)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
