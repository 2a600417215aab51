package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// tfePrefix is where the API in TFE's shapes begins.
const tfePrefix = "/api/v2"

// How long calls are retried. A server that never answered is given up soon: it is probably not there at all. One that
// did is probably restarting.
const (
	firstPatience  = 2 * time.Second
	laterPatience  = 30 * time.Second
	streamPatience = 2 * time.Minute  // without a word from the server while following a run or a log
	bulkPatience   = 10 * time.Minute // for a configuration or a state, transfer included
)

// Client makes the calls of a person. It may be used by many goroutines.
type Client struct {
	transport *Transport // with the token
	anonymous *Transport // without: for links that carry their own permission
	budget    time.Duration
	answered  atomic.Bool // the server answered at least once
	public    atomic.Pointer[string]
}

// New checks the configuration; it does not connect. A Budget of 0 means the default of half a minute.
func New(cfg Config) (*Client, error) {
	c := &Client{budget: cfg.Budget}
	if c.budget == 0 {
		c.budget = laterPatience
	}
	cfg.Budget = 0 // every call brings its own
	var err error
	if c.transport, err = NewTransport(cfg); err != nil {
		return nil, err
	}
	cfg.Token = ""
	c.anonymous, err = NewTransport(cfg)
	return c, err
}

// Address is the base URL of the server, without a trailing slash.
func (c *Client) Address() string { return c.transport.base.String() }

// PublicURL is where browsers find the pages of the server, without a trailing slash: what its answers say, or Address before
// the first. An address that leads everybody to their own machine says less than the one this client has.
func (c *Client) PublicURL() string {
	if public := c.public.Load(); public != nil {
		return *public
	}
	return c.Address()
}

func (c *Client) heard(h http.Header) {
	c.answered.Store(true)
	public := strings.TrimSuffix(h.Get("Gantry-Public-URL"), "/")
	u, err := url.Parse(public)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && !isLoopback(u.Hostname()) {
		c.public.Store(&public)
	}
}

// Close drops idle connections.
func (c *Client) Close() {
	c.transport.Close()
	c.anonymous.Close()
}

// Ready reports, with one try, why the server cannot serve, or nil. It needs no token.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := c.anonymous.try(ctx, Request{Method: http.MethodGet, Path: "/readyz"})
	return err
}

// Unreachable reports whether err means that no answer could be had from the server itself: no connection, or only a
// proxy's or a stopping server's "unavailable".
func Unreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Status == http.StatusBadGateway || refusal.Status == http.StatusServiceUnavailable ||
			refusal.Status == http.StatusGatewayTimeout
	}
	var transport *url.Error
	return errors.As(err, &transport) || errors.Is(err, ErrLostContact)
}

// NotFound reports whether err is the server's word that there is no such object, or none the caller may see.
func NotFound(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Status == http.StatusNotFound
}

// do sends the request with the patience that fits what is known about the server.
func (c *Client) do(ctx context.Context, r Request) error {
	patience := min(firstPatience, c.budget)
	if c.answered.Load() {
		patience = c.budget
	}
	return c.doWithin(ctx, patience, c.transport, r)
}

func (c *Client) doWithin(ctx context.Context, patience time.Duration, t *Transport, r Request) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.OnHeader = c.heard
	return t.Do(ctx, r)
}

// get decodes the resource at the path.
func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return send[T](ctx, c, Request{Method: http.MethodGet, Path: tfePrefix + path})
}

// create posts a new resource. Its random Idempotency-Key makes a retry of the request harmless.
func create[T any](ctx context.Context, c *Client, path string, in newResource) (T, error) {
	return submit[T](ctx, c, http.MethodPost, path, in)
}

// submit sends a resource and decodes the one that is the answer.
func submit[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	r, err := documentRequest(method, path, map[string]any{"data": in})
	if err != nil {
		var none T
		return none, err
	}
	return send[T](ctx, c, r)
}

func documentRequest(method, path string, in any) (Request, error) {
	body, err := json.Marshal(in)
	r := Request{
		Method: method, Path: tfePrefix + path, Header: http.Header{"Content-Type": {"application/vnd.api+json"}},
		Body: bytes.NewReader(body), Size: int64(len(body)),
	}
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", rand.Text())
	}
	return r, err
}

// tfeJSON posts one of TFE's actions, whose bodies are plain JSON, and does not look at the answer.
func (c *Client) tfeJSON(ctx context.Context, path string, in any) error {
	r, err := documentRequest(http.MethodPost, path, in)
	if err != nil {
		return err
	}
	return c.do(ctx, r)
}

// json makes one of Gantry's own calls; in and out may be nil.
func (c *Client) json(ctx context.Context, method, path string, in, out any) error {
	r := Request{Method: method, Path: apiPrefix + path, Header: http.Header{}}
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", rand.Text())
	}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return err
		}
		r.Body, r.Size = bytes.NewReader(body), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}
	if out != nil {
		r.OnBody = func(body io.Reader) error { return json.NewDecoder(body).Decode(out) }
	}
	return c.do(ctx, r)
}

func send[T any](ctx context.Context, c *Client, r Request) (T, error) {
	var out T
	r.OnBody = func(body io.Reader) error {
		var doc struct {
			Data resource `json:"data"`
		}
		if err := json.NewDecoder(body).Decode(&doc); err != nil {
			return fmt.Errorf("%s %s: the answer is not the expected document: %w", r.Method, r.Path, err)
		}
		return doc.Data.into(&out)
	}
	return out, c.do(ctx, r)
}

// list reads the pages of a list until limit items are there; 0 means all. The path may have a query.
func list[T any](ctx context.Context, c *Client, path string, limit int) ([]T, error) {
	size := 100
	if limit > 0 {
		size = min(size, limit)
	}
	out, and := []T{}, "?"
	if strings.Contains(path, and) {
		and = "&"
	}
	for number := 1; ; number++ {
		query := url.Values{"page[number]": {fmt.Sprint(number)}, "page[size]": {fmt.Sprint(size)}}
		items, pages, err := page[T](ctx, c, path+and+query.Encode())
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
		if limit > 0 && len(out) >= limit {
			return out[:limit], nil
		}
		if number >= pages {
			return out, nil
		}
	}
}

func page[T any](ctx context.Context, c *Client, path string) (items []T, pages int, err error) {
	r := Request{Method: http.MethodGet, Path: tfePrefix + path}
	r.OnBody = func(body io.Reader) error {
		var doc struct {
			Data []resource `json:"data"`
			Meta struct {
				Pagination struct {
					TotalPages int `json:"total-pages"`
				} `json:"pagination"`
			} `json:"meta"`
		}
		if err := json.NewDecoder(body).Decode(&doc); err != nil {
			return fmt.Errorf("GET %s: the answer is not the expected list: %w", r.Path, err)
		}
		items, pages = make([]T, len(doc.Data)), doc.Meta.Pagination.TotalPages
		for i, item := range doc.Data {
			if err := item.into(&items[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return items, pages, c.do(ctx, r)
}

// local turns a link that the server gave out into a path below the address that is known to work: every link of a
// server leads to itself, but maybe by a name that only others can resolve. So the token never goes elsewhere either.
func (c *Client) local(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", fmt.Errorf("the server gave the link %q, which is not a URL", link)
	}
	path := strings.TrimPrefix(u.EscapedPath(), c.transport.base.EscapedPath())
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("the server gave the link %q, which has no path", link)
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path, nil
}
