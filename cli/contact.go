package cli

import (
	"errors"
	"net/url"
	"sync"
	"time"
)

// contact tells whoever follows a run when the server is gone, and when it is back. It may be used by many goroutines.
type contact struct {
	mu    sync.Mutex
	tell  func(format string, args ...any) // nil while nobody follows
	since time.Time                        // of the first try without an answer; zero while the server answers
	told  bool
}

// patient is how long the server may be gone before it is worth a word: it answers again at once after a hiccup.
const patient = time.Second

// heard takes the outcome of every try to reach the server.
func (c *contact) heard(address string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.tell == nil:
	case err == nil:
		if c.told {
			c.tell("Connected again.")
		}
		c.since, c.told = time.Time{}, false
	case c.since.IsZero():
		c.since = time.Now()
	case !c.told && time.Since(c.since) > patient:
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		c.tell("No answer from the server at %s (%v). Trying again; the run does not depend on it.", address, err)
		c.told = true
	}
}

// follow says it with tell until the returned function is called.
func (c *contact) follow(tell func(format string, args ...any)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell, c.since, c.told = tell, time.Time{}, false
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tell = nil
	}
}
