package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// link is a network between one part and others, which can be cut. Its methods are safe for concurrent use.
type link struct {
	addresses []string // where each of the others is found; the same for the life of the link
	listeners []net.Listener
	group     sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{}         // guarded by mu: closed while bytes pass
	conns map[net.Conn]struct{} // guarded by mu
	ended bool                  // guarded by mu
}

// newLink listens once for each of the others, of which each may have several addresses.
func newLink(ctx context.Context, others ...[]string) (*link, error) {
	l := &link{open: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(l.open)
	for _, targets := range others {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			l.close()
			return nil, err
		}
		l.listeners, l.addresses = append(l.listeners, ln), append(l.addresses, ln.Addr().String())
		l.group.Go(func() { l.accept(ln, targets) })
	}
	return l, nil
}

func (l *link) accept(ln net.Listener, targets []string) {
	for n := 0; ; n++ {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		l.group.Go(func() { l.pass(c, targets, n) })
	}
}

// pass connects c with the first of the targets that takes it, each in turn.
func (l *link) pass(c net.Conn, targets []string, first int) {
	defer l.forget(c)
	if !l.remember(c) || !l.wait() {
		return
	}
	for i := range targets {
		up, err := net.DialTimeout("tcp", targets[(first+i)%len(targets)], time.Second)
		if err != nil {
			continue
		}
		defer l.forget(up)
		if !l.remember(up) {
			return
		}
		var back sync.WaitGroup
		back.Go(func() { l.copy(c, up) })
		l.copy(up, c)
		back.Wait()
		return
	}
}

// copy ends both directions' writing side as the reading one ends.
func (l *link) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !l.wait() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// wait returns when bytes may pass, and false when the link has ended.
func (l *link) wait() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	<-open
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended
}

// cut keeps everything from passing until heal. Hard means that connections break, otherwise they are just silent.
func (l *link) cut(hard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
	if hard {
		for c := range l.conns {
			_ = c.Close()
		}
	}
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.open)
}

func (l *link) remember(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return !l.ended
}

func (l *link) forget(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// close ends the link for good. It must not be cut.
func (l *link) close() {
	for _, ln := range l.listeners {
		_ = ln.Close()
	}
	l.mu.Lock()
	l.ended = true
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.group.Wait()
}
