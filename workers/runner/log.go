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

	"gantry.example/messages"
)

// logPause is how long printed bytes wait for more, so that a log does not become a chunk per line. The end does not wait.
const logPause = 50 * time.Millisecond

// Pauses between tries to store a chunk; half of each is random.
const (
	firstLogPause = 50 * time.Millisecond
	maxLogPause   = 2 * time.Second
)

// logStream is the attempt's log: a file that terraform and we append to, and a goroutine that carries it to the sink.
// The file is the truth; the sink gets each byte in order, as often as it takes.
type logStream struct {
	file *os.File
	log  *slog.Logger
	quit context.CancelFunc
	end  chan logEnd   // sent once, when nothing more is appended
	done chan struct{} // closed when everything is stored, or when the stream was stopped
}

// logEnd says what the complete log is.
type logEnd struct {
	size   int64
	sha256 string
}

func openLog(path string, log *slog.Logger) (*logStream, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	return &logStream{file: f, log: log, quit: func() {}, end: make(chan logEnd, 1), done: make(chan struct{})}, nil
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
	size, err := io.Copy(hash, io.NewSectionReader(l.file, 0, 1<<62))
	if err != nil {
		return logEnd{}, err
	}
	end := logEnd{size, hex.EncodeToString(hash.Sum(nil))}
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
	buf := make([]byte, messages.MaxLogChunk)
	var offset int64
	end, err := l.pause(ctx)
	for err == nil {
		n, read := l.file.ReadAt(buf, offset)
		if read != nil && !errors.Is(read, io.EOF) {
			return read
		}
		switch {
		case end != nil && offset+int64(n) >= end.size:
			return l.untilStored(ctx, func() error { return sink.End(ctx, offset, buf[:n], end.sha256) })
		case n == 0:
			end, err = l.more(ctx, written)
		default:
			err = l.untilStored(ctx, func() error { return sink.Chunk(ctx, offset, buf[:n]) })
			offset += int64(n)
			if err == nil && n < len(buf) && end == nil {
				end, err = l.pause(ctx)
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
		return l.pause(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pause waits for logPause or the end of the log, which it returns.
func (l *logStream) pause(ctx context.Context) (*logEnd, error) {
	timer := time.NewTimer(logPause)
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
