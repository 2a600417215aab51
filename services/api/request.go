package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/jsonapi"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// access says who may call a route.
type access int

const (
	public  access = iota // anybody: discovery, ping, signed URLs (which carry their own permission)
	person                // the token of a user or an organization, or an admin token; see rights
	pool                  // a worker's token
	attempt               // the token of one attempt, named in the path as {attempt}
)

func (a access) String() string { return [...]string{"public", "person", "pool", "attempt"}[a] }

// route is one call of the API.
type route struct {
	method  string
	pattern string // of net/http.ServeMux
	access  access
	summary string
	in, out any    // zero values of the bodies' types, nil where there is none; []byte for raw bodies
	status  int    // of a good answer; 0 means 200
	media   string // content type of a good answer, where the type of out does not say it
	query   []string
	create  bool  // honors Idempotency-Key
	maxBody int64 // 0 means maxJSONBody
	// streamed leaves the body, of ContentLength bytes, to the handler: it is stored as it comes.
	streamed bool
	point    string // of package failpoint, passed when all is stored and nothing answered
	// permit checks the permission that the path of a public route carries, before the body is read.
	permit func(*request) error
	handle handler
}

type handler func(*request) (reply, error)

// request is a call whose caller is known.
type request struct {
	*http.Request
	w       http.ResponseWriter
	token   postgres.Token   // of a person or pool
	role    postgres.Role    // of a person, where the call's object is
	where   string           // the id of its organization, "" where the call is about none
	attempt postgres.Attempt // of an attempt
	bearer  string
	body    []byte // read and bounded before the handler runs
	// streaming tells that the answer's head is sent: an error can only end the stream.
	streaming bool
}

// reply is a good answer. The zero value is "no content".
type reply struct {
	status  int
	body    []byte
	stream  io.Reader // in place of the body: sent as it is read
	size    int64     // of the stream, in bytes
	kind    string    // content type
	header  http.Header
	handled bool // the handler wrote the answer itself (streams)
}

// blobReply answers with a blob, which is never in memory as a whole.
func blobReply(b *postgres.Blob, kind string, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{stream: b, size: b.Size, kind: kind}, nil
}

const (
	kindJSON    = "application/json"
	kindJSONAPI = "application/vnd.api+json"
	kindBytes   = "application/octet-stream"
)

// plain answers with a plain JSON document.
func plain(v any) (reply, error) {
	b, err := json.Marshal(v)
	return reply{body: b, kind: kindJSON}, err
}

// object answers with one JSON:API resource, a pointer to a tagged struct. related resources, of the same kind, go into
// "included".
func object(v any, related ...any) (reply, error) {
	answer, err := one(v)
	if err != nil {
		return reply{}, err
	}
	if answer.Included, err = nodes(related); err != nil {
		return reply{}, err
	}
	r, err := plain(answer)
	r.kind = kindJSONAPI
	return r, err
}

func nodes(docs []any) ([]*jsonapi.Node, error) {
	var out []*jsonapi.Node
	for _, d := range docs {
		side, err := one(d)
		if err != nil {
			return nil, err
		}
		out = append(out, side.Data)
	}
	return out, nil
}

// one marshals a resource alone: its relations only name what they point at.
func one(v any) (*jsonapi.OnePayload, error) {
	payload, err := jsonapi.Marshal(v)
	if err != nil {
		return nil, err
	}
	p, ok := payload.(*jsonapi.OnePayload)
	if !ok {
		return nil, fmt.Errorf("%T did not marshal as one resource", v)
	}
	p.Included = nil
	addKept(p.Data, v)
	return p, nil
}

// addKept adds the kept attributes of a document to its node.
func addKept(n *jsonapi.Node, v any) {
	if k, ok := v.(keeper); ok {
		for name, value := range k.keptAttributes() {
			n.Attributes[name] = value
		}
	}
}

// list answers with a page of JSON:API resources, and related ones in "included".
func list[T any](items []*T, p postgres.Page, total int, related ...any) (reply, error) {
	return collection(items, &jsonapi.Meta{"pagination": pagination(p, total)}, related...)
}

// collection answers with all the JSON:API resources there are. One that is empty is "data": [].
func collection[T any](items []*T, meta *jsonapi.Meta, related ...any) (reply, error) {
	payload, err := jsonapi.Marshal(items)
	if err != nil {
		return reply{}, err
	}
	many, ok := payload.(*jsonapi.ManyPayload)
	if !ok {
		return reply{}, fmt.Errorf("list of %T did not marshal as a list", items)
	}
	if many.Data == nil {
		many.Data = []*jsonapi.Node{}
	}
	for i, item := range items {
		addKept(many.Data[i], item)
	}
	many.Meta = meta
	if many.Included, err = nodes(related); err != nil {
		return reply{}, err
	}
	r, err := plain(many)
	r.kind = kindJSONAPI
	return r, err
}

// checkText refuses what Postgres cannot store in a text.
func (r *request) checkText() error {
	if bytes.Contains(r.body, []byte(`\u0000`)) {
		return invalid("the body has a text with the character U+0000, which cannot be stored")
	}
	return nil
}

// decode reads a plain JSON body. Unknown fields are accepted: a newer client may send them.
func (r *request) decode(v any) error {
	if err := json.Unmarshal(r.body, v); err != nil {
		return invalid("the body is not the expected JSON: %v", err)
	}
	return nil
}

// decodeObject reads a JSON:API body into a tagged struct.
func (r *request) decodeObject(v any) error {
	if err := checkObject(r.body, v); err != nil {
		return err
	}
	if err := jsonapi.UnmarshalPayload(bytes.NewReader(r.body), v); err != nil {
		return invalid("the body is not the expected JSON:API document: %v", err)
	}
	return nil
}

// serve authenticates, bounds and reads the body, calls the handler and writes what it returns.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		began := time.Now()
		req := &request{Request: hr, w: w}
		s.versionHeaders(w.Header())
		rep, err := s.call(rt, req)
		if err != nil {
			rep = s.errorReply(req, err)
		} else if rt.point != "" {
			s.fail.Hit(rt.point)
		}
		if !rep.handled && !req.streaming {
			s.metrics.observe(rt, rep.code(rt), time.Since(began))
			s.writeReply(req, rt, rep)
		}
	})
}

func (s *Server) call(rt route, req *request) (rep reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			if abort, ok := p.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
				panic(p) //nolint:forbidigo // the way of net/http to break a connection off
			}
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := s.authenticate(rt, req); err != nil {
		return reply{}, err
	}
	if rt.access == person {
		if err := s.limitRate(req); err != nil {
			return reply{}, err
		}
		if err := s.authorize(rt, req); err != nil {
			return reply{}, err
		}
	}
	done, err := s.readBody(rt, req)
	if err != nil {
		return reply{}, err
	}
	defer done()
	if rt.access == person {
		if err := req.checkText(); err != nil {
			return reply{}, err
		}
	}
	if key := req.Header.Get("Idempotency-Key"); rt.create && key != "" {
		rep, err = s.once(rt, req, key)
	} else {
		rep, err = rt.handle(req)
	}
	if err == nil && rt.audited() {
		s.record(rt, req, rep)
	}
	return rep, err
}

// audited reports whether the call is remembered as an act of a person: it changes something that is no run, whose changes
// are its events.
func (rt route) audited() bool {
	return rt.access == person && rt.method != http.MethodGet && !strings.Contains(rt.pattern, "/runs") && !strings.HasSuffix(rt.pattern, "/configuration-versions")
}

// record remembers who did it. The path names the object, of what is made the answer does; what was sent may have secrets and
// is not kept. The call is carried out by then, so a failure is for the log only.
func (s *Server) record(rt route, req *request, rep reply) {
	act := postgres.Act{
		OrganizationID: req.where, Actor: req.token.Actor(), Action: rt.method + " " + rt.pattern, Summary: rt.summary, Object: req.URL.Path,
	}
	if rep.code(rt) == http.StatusCreated {
		act.Object += made(rep.body)
	}
	if err := s.db.RecordAct(req.Context(), act); err != nil {
		s.log.ErrorContext(req.Context(), "an act could not be recorded", "actor", act.Actor, "action", act.Action, "object", act.Object, "error", err)
	}
}

// made is the id of what an answer says was created, as the rest of its path, and its name. Empty where it does not say so.
func made(answer []byte) string {
	type named struct {
		Name, Key, Username string
	}
	var doc struct {
		ID string
		named
		Data struct {
			ID         string
			Attributes named
		}
	}
	if json.Unmarshal(answer, &doc) != nil || cmp.Or(doc.Data.ID, doc.ID) == "" {
		return ""
	}
	at := doc.Data.Attributes
	text := "/" + cmp.Or(doc.Data.ID, doc.ID)
	if name := cmp.Or(at.Name, at.Key, at.Username, doc.Name, doc.Key, doc.Username); name != "" {
		text += " (" + name + ")"
	}
	return text
}

// once carries out a create at most once per caller and key.
func (s *Server) once(rt route, req *request, key string) (reply, error) {
	kind := kindJSONAPI
	if strings.HasPrefix(rt.pattern, pathGantry) {
		kind = kindJSON
	}
	content := append([]byte(req.Method+" "+req.URL.Path+"\n"), req.body...)
	a, err := s.db.Idempotent(req.Context(), req.token.ID, key, content, func(ctx context.Context) (postgres.Answer, error) {
		req.Request = req.WithContext(ctx)
		rep, err := rt.handle(req)
		if err != nil {
			return postgres.Answer{}, err
		}
		return postgres.Answer{Status: max(rep.status, rt.status), Body: rep.body}, nil
	})
	return reply{status: a.Status, body: a.Body, kind: kind}, err
}

// code is the HTTP status of the reply.
func (rep reply) code(rt route) int {
	switch {
	case rep.status != 0:
		return rep.status
	case rt.status != 0:
		return rt.status
	case rep.body == nil && rep.stream == nil:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

func (s *Server) writeReply(r *request, rt route, rep reply) {
	status, size := rep.code(rt), int64(len(rep.body))
	if rep.stream != nil {
		size = rep.size
	}
	h := r.w.Header()
	for k, v := range rep.header {
		h[k] = v
	}
	if rep.kind != "" {
		h.Set("Content-Type", rep.kind)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	r.w.WriteHeader(status)
	if rep.stream == nil {
		_, _ = r.w.Write(rep.body) // the caller is gone: nobody to tell
		return
	}
	if _, err := io.Copy(r.w, rep.stream); err != nil {
		if r.Context().Err() == nil {
			s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		panic(http.ErrAbortHandler) //nolint:forbidigo // so that the caller does not take what it has for all
	}
}

// snapshotInterval is after how many seconds Terraform's CLI, applying on the user's machine, saves the state once more: what
// a machine that dies then loses are the resources of that time. Less than the CLI's own 20 s changes nothing.
const snapshotInterval = "20"

// versionHeaders are what Terraform's CLI decides by (reference: its internal/cloud package), and for ours where the pages are.
func (s *Server) versionHeaders(h http.Header) {
	h.Set("TFP-API-Version", "2.6")
	h.Set("TFP-AppName", "Gantry")
	h.Set("X-Terraform-Snapshot-Interval", snapshotInterval)
	h.Set("Gantry-Public-URL", s.public.String())
	s.rateHeader(h)
}

// unknownCall refuses what is no call of the API, and says which methods a path takes that is one.
func unknownCall(known *http.ServeMux) handler {
	return func(r *request) (reply, error) {
		var methods []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			if _, pattern := known.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); pattern != "" {
				methods = append(methods, method)
			}
		}
		call := r.Method + " " + strings.TrimSpace(r.URL.Path)
		if len(methods) == 0 {
			return reply{}, &postgres.Error{Code: messages.CodeNotFound, Message: call + " is no call of this API"}
		}
		takes := strings.Join(methods, ", ")
		r.w.Header().Set("Allow", takes)
		return reply{}, &postgres.Error{Code: messages.CodeMethodNotAllowed, Message: call + " is no call of this API; this path takes " + takes}
	}
}
