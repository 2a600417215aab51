package api

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// rateLimit bounds the calls of each token of a person in a second: a program that loops must not take the server from the
// others. Workers and runners are not bounded. Several servers bound each for itself.
type rateLimit struct {
	perSecond float64 // 0 for no bound

	mu      sync.Mutex
	buckets map[string]bucket // by token
}

// bucket has a second's calls, twice as many after a pause.
type bucket struct {
	calls float64 // that may be made at once
	at    time.Time
}

// maxBuckets is how many tokens are remembered. Those that have not called for a while are forgotten first: they may make all
// their calls anyway.
const maxBuckets = 10_000

// take counts a call and returns how long to wait instead where it is one too many.
func (l *rateLimit) take(token string, now time.Time) time.Duration {
	if l.perSecond <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	full := max(1, 2*l.perSecond)
	b, known := l.buckets[token]
	if !known {
		l.forget(now)
		b = bucket{full, now}
	}
	b.calls, b.at = min(full, b.calls+now.Sub(b.at).Seconds()*l.perSecond), now
	if b.calls < 1 {
		l.buckets[token] = b
		return time.Duration((1 - b.calls) / l.perSecond * float64(time.Second))
	}
	b.calls--
	l.buckets[token] = b
	return 0
}

// forget makes room for another token.
func (l *rateLimit) forget(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	maps.DeleteFunc(l.buckets, func(_ string, b bucket) bool { return now.Sub(b.at) > 2*time.Second })
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
}

// limitRate refuses a call of a token that makes too many, and says when to come again: in the header of HTTP, and in that of
// TFE, which go-tfe waits by.
func (s *Server) limitRate(req *request) error {
	wait := s.rate.take(cmp.Or(req.token.ID, req.token.UserID), time.Now()) // pages have a user and no token
	if wait == 0 {
		return nil
	}
	h := req.w.Header()
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	h.Set("X-RateLimit-Reset", strconv.FormatFloat(wait.Seconds(), 'f', 3, 64))
	return &postgres.Error{Code: messages.CodeTooManyRequests, Message: fmt.Sprintf("%s makes more than the %v calls a second that the server takes of one token (--api-rate-limit): come again as the header Retry-After says", req.token.Actor(), s.rate.perSecond)}
}

// rateHeader tells clients of TFE the bound, which go-tfe keeps below by itself.
func (s *Server) rateHeader(h http.Header) {
	if s.rate.perSecond > 0 {
		h.Set("X-RateLimit-Limit", strconv.FormatFloat(s.rate.perSecond, 'f', -1, 64))
	}
}
