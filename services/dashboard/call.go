package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// refusal is what the API said no to: its own words are shown.
type refusal struct {
	status int
	Code   messages.Code
	Detail string
}

func (r *refusal) Error() string { return r.Detail }

// call carries out a call of the API for whoever is logged in, so that a page can do what they may do by the API, and nothing
// else. The answer is decoded into out, unless that is nil. Errors: *refusal for what the API does not allow or take.
func (s *Server) call(r *http.Request, session postgres.Session, method, path string, in, out any) error {
	body, ok := in.([]byte)
	if !ok && in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(r.Context(), method, path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.RemoteAddr = r.RemoteAddr
	got := &answer{header: http.Header{}, status: http.StatusOK}
	s.cfg.API(session.Holder).ServeHTTP(got, req)
	if err := got.failure(method, path); err != nil {
		return err
	}
	if out == nil || got.status == http.StatusNoContent {
		return nil
	}
	return json.Unmarshal(got.body.Bytes(), out)
}

// pass gives the browser what the API answers, as it comes and with the header, unless that is a refusal, which it returns.
func (s *Server) pass(w http.ResponseWriter, r *http.Request, session postgres.Session, path string, header map[string]string) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	req.RemoteAddr = r.RemoteAddr
	got := &passing{answer: answer{header: http.Header{}, status: http.StatusOK}, to: w, with: header}
	s.cfg.API(session.Holder).ServeHTTP(got, req)
	return got.failure(http.MethodGet, path)
}

// passing is an answer that is kept only if it is a refusal.
type passing struct {
	answer
	to   http.ResponseWriter
	with map[string]string // headers of what is passed on
}

// WriteHeader implements http.ResponseWriter.
func (p *passing) WriteHeader(status int) {
	if p.status = status; status < http.StatusBadRequest {
		p.to.Header().Set("Content-Length", p.header.Get("Content-Length"))
		for name, value := range p.with {
			p.to.Header().Set(name, value)
		}
		p.to.WriteHeader(status)
	}
}

func (p *passing) Write(b []byte) (int, error) {
	if p.status < http.StatusBadRequest {
		return p.to.Write(b)
	}
	return p.answer.Write(b)
}

// answer keeps what the API answers. It implements http.ResponseWriter.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// failure is what the answer says went wrong, if it does.
func (a *answer) failure(method, path string) error {
	switch {
	case a.status >= http.StatusInternalServerError:
		return fmt.Errorf("%s %s: status %d: %.500s", method, path, a.status, a.body.String())
	case a.status >= http.StatusBadRequest:
		return a.refusal()
	default:
		return nil
	}
}

func (a *answer) refusal() error {
	var doc struct {
		Errors []struct {
			Code   messages.Code `json:"code"`
			Detail string        `json:"detail"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(a.body.Bytes(), &doc); err != nil || len(doc.Errors) == 0 {
		return fmt.Errorf("the API answered with status %d: %.500s", a.status, a.body.String())
	}
	return &refusal{status: a.status, Code: doc.Errors[0].Code, Detail: sentence(doc.Errors[0].Detail)}
}

// back shows a refusal as a page that leads back to where the form was.
func back(err error, text, address string) error {
	if no, ok := asRefusal(err); ok {
		return &problem{status: no.status, title: "That did not work", text: no.Detail, code: no.Code, back: &link{text, address}}
	}
	return err
}

func asRefusal(err error) (*refusal, bool) {
	var no *refusal
	ok := errors.As(err, &no)
	return no, ok
}
