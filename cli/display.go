package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// display shows a run as it goes: the log it is written, notes beside it, and on a terminal a line that tells what is
// being waited for, which goes when there is something better to show. It may be used by many goroutines.
type display struct {
	log, side io.Writer
	live      bool // the line is redrawn; otherwise each new text is one plain line
	stop      chan struct{}
	stopped   chan struct{}
	asking    sync.Mutex // held while a question stands on the terminal

	mu      sync.Mutex
	status  string // what is being waited for
	detail  string // more about it, for the line only
	since   time.Time
	said    string // the last plain line
	midline bool   // the log stands in the middle of a line, which the line must not erase
	drawn   bool
	frame   int
}

// display shows logs on stdout, or on stderr where stdout is for JSON.
func (a *app) display() *display {
	d := &display{
		log: a.logWriter(), side: a.env.Stderr, live: a.env.StderrTerminal && a.env.Getenv("TERM") != "dumb",
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go d.animate()
	return d
}

// logWriter is where logs go; colors stay only on a terminal.
func (a *app) logWriter() io.Writer {
	to, terminal := a.env.Stdout, a.env.StdoutTerminal
	if a.asJSON() {
		to, terminal = a.env.Stderr, a.env.StderrTerminal
	}
	if terminal && a.colors() {
		return to
	}
	return &plainText{to: to}
}

// close ends the line and waits for whoever draws it.
func (d *display) close() {
	close(d.stop)
	<-d.stopped
	d.progress("", "")
}

// hold keeps everything but notes back until the returned function is called, so that a question can be read.
func (d *display) hold() (release func()) {
	d.asking.Lock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	d.midline = false
	return d.asking.Unlock
}

// Write shows a part of the log.
func (d *display) Write(b []byte) (int, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(b) > 0 {
		d.status = ""
		d.erase()
		d.midline = b[len(b)-1] != '\n'
	}
	return d.log.Write(b)
}

// note says something beside the log.
func (d *display) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	if d.midline && d.live {
		fmt.Fprintln(d.side)
		d.midline = false
	}
	fmt.Fprintf(d.side, format+"\n", args...)
}

// progress tells what status is being waited in; empty for none.
func (d *display) progress(status, detail string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if status != d.status {
		d.since = time.Now()
	}
	d.status, d.detail = status, detail
	d.erase()
	if !d.live && status != "" && status != d.said {
		d.said = status
		fmt.Fprintln(d.side, "waiting: "+status)
	}
}

func (d *display) erase() {
	if d.drawn {
		fmt.Fprint(d.side, "\r\x1b[K")
		d.drawn = false
	}
}

func (d *display) animate() {
	defer close(d.stopped)
	if !d.live {
		return
	}
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
			d.draw()
		}
	}
}

func (d *display) draw() {
	if !d.asking.TryLock() {
		return
	}
	defer d.asking.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status == "" || d.midline {
		return
	}
	d.frame++
	const frames = `|/-\`
	fmt.Fprintf(d.side, "\r\x1b[K%c waiting: %s%s %s", frames[d.frame%len(frames)], d.status, d.detail, time.Since(d.since).Truncate(time.Second))
	d.drawn = true
}
