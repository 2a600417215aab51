package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// endless is a body that counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// TestBodyTooLarge: the answer names both sizes and comes before a body whose size is told; one whose size is not told is read up to
// the limit.
func TestBodyTooLarge(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := f.claim(f.newRun(run.Options{}).Plan.ID)
	f.start(c)
	for path, tt := range map[string]struct {
		size int64
		want string
	}{
		"/plan":      {300 << 20, "the body has 314572800 bytes, and this call takes 268435456 bytes at most"},
		"/plan-json": {300 << 20, "314572800"},
		"/state":     {129 << 20, "135266304"},
		"/result":    {2 << 20, "1048576"},
	} {
		t.Run(path, func(t *testing.T) {
			body := &endless{}
			method := http.MethodPut
			if path == "/result" {
				method = http.MethodPost
			}
			req, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+attempts+c.AttemptID+path, io.LimitReader(body, tt.size))
			must(t, err)
			req.ContentLength = tt.size
			req.Header.Set("Authorization", "Bearer "+c.Token)
			req.Header.Set("Expect", "100-continue")
			asking := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer asking.CloseIdleConnections()
			res, err := (&http.Client{Transport: asking}).Do(req)
			must(t, err)
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			must(t, err)
			answer{t, path, res.StatusCode, res.Header, b}.want(http.StatusRequestEntityTooLarge, messages.CodeTooLarge)
			if !strings.Contains(string(b), tt.want) || body.read > 0 {
				t.Errorf("got %s after %d bytes, want %q in it and nothing sent", b, body.read, tt.want)
			}
		})
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+attempts+c.AttemptID+"/result", io.LimitReader(&endless{}, 1<<20+1))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+c.Token)
	res, err := f.server.Client().Do(req)
	must(t, err)
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	answer{t, "chunked", res.StatusCode, res.Header, b}.want(http.StatusRequestEntityTooLarge, messages.CodeTooLarge)
}
