// Package client speaks Gantry's HTTP API. Transport carries requests; Attempt is what a runner may ask.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gantry.example/messages"
)

// Config says which server to talk to and as whom.
type Config struct {
	Address string        // https://host[:port]; plain http only to the machine itself
	CACert  []byte        // PEM of the only authorities to trust; empty means the system's
	Token   string        // bearer token
	Budget  time.Duration // how long a request is retried; 0 means until its context ends
	// Traceparent is the trace context (W3C) that every request carries; empty means none.
	Traceparent string
	// Contact, if set, is told for every try whether the server answered: nil, or why not. It is called concurrently.
	Contact func(error)
}

// Transport sends requests to one server. It retries what may be worth another try (no connection, 429, 5xx) with growing
// pauses; every request of Gantry's API may safely be repeated. It may be used by many goroutines.
type Transport struct {
	base   *url.URL
	token  string
	trace  string
	budget time.Duration
	http   *http.Client

	contact func(error)
}

// Pauses between tries: the first is firstPause, each doubles, none is longer than maxPause; half of each is random.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

// maxErrorBody bounds what is read of an error document.
const maxErrorBody = 64 << 10

// Error is a refusal by the server. Code is empty when the answer was not one of Gantry's error documents.
type Error struct {
	Status int
	Code   messages.Code
	Detail string
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("the server answered %d: %s", e.Status, e.Detail)
	}
	return fmt.Sprintf("%s (%s)", e.Detail, e.Code)
}

// HasCode reports whether err is a refusal by the server with that code.
func HasCode(err error, code messages.Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// NewTransport checks the address and the certificates; it does not connect.
func NewTransport(cfg Config) (*Transport, error) {
	base, err := url.Parse(strings.TrimSuffix(cfg.Address, "/"))
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("server address %q: not a URL like https://gantry.example.com", cfg.Address)
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !isLoopback(base.Hostname())) {
		return nil, fmt.Errorf("server address %q: use https; plain http would show the token to the network", cfg.Address)
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(cfg.CACert) > 0 {
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(cfg.CACert) {
			return nil, errors.New("the CA certificate is not a PEM certificate")
		}
	}
	if cfg.Contact == nil {
		cfg.Contact = func(error) {}
	}
	return &Transport{
		base: base, token: cfg.Token, trace: cfg.Traceparent, budget: cfg.Budget, contact: cfg.Contact,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:                 http.ProxyFromEnvironment,
				DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
				TLSClientConfig:       tlsConfig,
				TLSHandshakeTimeout:   10 * time.Second,
				ResponseHeaderTimeout: time.Minute,
				IdleConnTimeout:       time.Minute,
				ExpectContinueTimeout: 10 * time.Second,
				MaxIdleConnsPerHost:   100, // as many as a worker has slots
				ForceAttemptHTTP2:     true,
			},
			// A redirect would carry the token elsewhere; the API has none.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// As returns a Transport for another token, and the same trace and server, which shares the connections: closing either drops idle
// ones of both.
func (t *Transport) As(token string) *Transport {
	other := *t
	other.token = token
	return &other
}

// Traced returns a Transport whose requests carry another trace context (W3C), otherwise like As.
func (t *Transport) Traced(traceparent string) *Transport {
	other := *t
	other.trace = traceparent
	return &other
}

// Close drops idle connections.
func (t *Transport) Close() { t.http.CloseIdleConnections() }

// Request is one call.
type Request struct {
	Method string
	Path   string // below the address, with a leading slash, already escaped
	Header http.Header
	Body   io.ReaderAt // nil means none; every try reads it from its beginning, the last one maybe beside the next
	Size   int64       // of the body, in bytes

	// OnHeader sees the header of every answer, refusals included.
	OnHeader func(http.Header)
	// OnBody reads the body of a positive answer. A failure of it is retried with a new request if it is a failed read.
	OnBody func(io.Reader) error
}

// Do sends the request until there is an answer that stands. A refusal is an *Error; anything else means that no answer
// could be had while the context and the budget lasted.
func (t *Transport) Do(ctx context.Context, r Request) error {
	if t.budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.budget)
		defer cancel()
	}
	var before error // of the try before: one that the end of ctx interrupts says nothing about the server
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		wait, err := t.try(ctx, r)
		if err == nil || wait < 0 {
			return err
		}
		if ctx.Err() != nil && before != nil {
			err = before
		}
		before = err
		timer := time.NewTimer(max(wait, pause/2+rand.N(pause/2)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s %s: gave up: %w; last try: %w", r.Method, r.Path, ctx.Err(), err)
		}
	}
}

// never is the wait after an error that another try cannot mend.
const never = -1

// try sends the request once. On failure it tells how long to wait at least before the next try, or never.
func (t *Transport) try(ctx context.Context, r Request) (wait time.Duration, err error) {
	req, err := t.request(ctx, r)
	if err != nil {
		return never, err
	}
	resp, err := t.http.Do(req)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return never, fmt.Errorf("%w: give the server's CA certificate if it has its own", err)
		}
		if ctx.Err() == nil {
			t.contact(err)
		}
		return 0, err
	}
	defer resp.Body.Close()
	t.contact(nil)
	if r.OnHeader != nil {
		r.OnHeader(resp.Header)
	}
	if resp.StatusCode >= 300 {
		return retryAfter(resp), readError(resp)
	}
	if r.OnBody == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)) // so that the connection is used again
		return never, nil
	}
	body := &failNoting{r: resp.Body}
	if err := r.OnBody(body); err != nil {
		if body.failed {
			return 0, err
		}
		return never, err
	}
	return never, nil
}

// askFirst is the size of a body in bytes above which the server is asked before it is sent.
const askFirst = 1 << 20

func (t *Transport) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil && r.Size > 0 {
		body = io.NewSectionReader(r.Body, 0, r.Size)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, t.base.String()+r.Path, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = r.Size
	for key, values := range r.Header {
		req.Header[key] = values
	}
	req.Header.Set("User-Agent", "gantry")
	if t.trace != "" {
		req.Header.Set("Traceparent", t.trace)
	}
	// A large body is sent when the server wants it: while it refuses, and closes, a sender may not hear why.
	if r.Size > askFirst {
		req.Header.Set("Expect", "100-continue")
	}
	if t.token != "" {
		req.Header.Set("Authorization", "Bearer "+t.token)
	}
	return req, nil
}

// failNoting remembers whether reading failed, as opposed to what was done with the bytes.
type failNoting struct {
	r      io.Reader
	failed bool
}

func (n *failNoting) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.failed = true
	}
	return k, err
}

// retryAfter is never for refusals that stand, else what the server asks for in seconds, at most a minute.
func retryAfter(resp *http.Response) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 || resp.StatusCode == http.StatusNotImplemented {
		return never
	}
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, time.Minute)
}

// readError decodes {"errors":[{"status","code","title","detail"}]}.
func readError(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var doc struct {
		Errors []struct {
			Code   messages.Code `json:"code"`
			Title  string        `json:"title"`
			Detail string        `json:"detail"`
		} `json:"errors"`
	}
	e := &Error{Status: resp.StatusCode, Detail: http.StatusText(resp.StatusCode)}
	if json.Unmarshal(b, &doc) != nil || len(doc.Errors) == 0 {
		return e
	}
	first := doc.Errors[0]
	e.Code = first.Code
	for _, text := range []string{first.Detail, first.Title} {
		if text != "" {
			e.Detail = text
			break
		}
	}
	return e
}

// JSON sends in as JSON (nil means no body) and decodes the answer into out (nil means it is not looked at).
func (t *Transport) JSON(ctx context.Context, r Request, in, out any) error {
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.Body, r.Size = bytes.NewReader(b), int64(len(b))
		r.Header = r.Header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Content-Type", "application/json")
	}
	if out != nil {
		r.OnBody = func(body io.Reader) error { return json.NewDecoder(body).Decode(out) }
	}
	return t.Do(ctx, r)
}
