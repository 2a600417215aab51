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
	if got.status >= http.StatusInternalServerError {
		return fmt.Errorf("%s %s: status %d: %.500s", method, path, got.status, got.body.String())
	}
	if got.status >= http.StatusBadRequest {
		return got.refusal()
	}
	if out == nil || got.status == http.StatusNoContent {
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = got.body.Bytes()
		return nil
	}
	return json.Unmarshal(got.body.Bytes(), out)
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
