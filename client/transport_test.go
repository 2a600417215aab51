package client_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

func transport(t *testing.T, cfg client.Config) *client.Transport {
	t.Helper()
	tr, err := client.NewTransport(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://gantry.example.com": true, "https://10.0.0.1:8443/": true, "http://127.0.0.1:8080": true, "http://localhost:1": true,
		"http://[::1]:8080": true, "http://gantry.example.com": false, "http://localhost.evil.example": false, "ftp://x": false, "gantry": false, "": false,
	} {
		if _, err := client.NewTransport(client.Config{Address: address}); (err == nil) != ok {
			t.Errorf("%q: got %v, want accepted: %v", address, err, ok)
		}
	}
	if _, err := client.NewTransport(client.Config{Address: "https://x", CACert: []byte("nonsense")}); err == nil {
		t.Error("a CA certificate that is none was accepted")
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer []int // in order; the last one repeats
		tries  int32
		ok     bool
	}{
		{"at once", []int{200}, 1, true},
		{"busy", []int{503, 429, 502, 200}, 4, true},
		{"refused", []int{409}, 1, false},
		{"not implemented", []int{501}, 1, false},
		{"redirect", []int{302}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := int(tries.Add(1))
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != `{"a":1}` || r.Header.Get("Authorization") != "Bearer tok" {
					t.Errorf("try %d: got body %q, %v, header %v", n, body, err, r.Header)
				}
				w.Header().Set("Location", "https://elsewhere.example")
				w.WriteHeader(tt.answer[min(n, len(tt.answer))-1])
			}))
			t.Cleanup(server.Close)
			tr := transport(t, client.Config{Address: server.URL, Token: "tok"})
			err := tr.JSON(t.Context(), client.Request{Method: "POST", Path: "/x"}, map[string]int{"a": 1}, nil)
			if (err == nil) != tt.ok || tries.Load() != tt.tries {
				t.Errorf("got %v after %d tries, want ok %v after %d", err, tries.Load(), tt.ok, tt.tries)
			}
		})
	}
}

func TestGivesUpWithTheLastReason(t *testing.T) {
	t.Parallel()
	tr := transport(t, client.Config{Address: "http://127.0.0.1:1", Budget: 250 * time.Millisecond}) // nobody listens there
	err := tr.Do(t.Context(), client.Request{Method: "GET", Path: "/x"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want the end of the budget and the reason", err)
	}
}

func TestErrorDocument(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(wire.HeaderCancel, "force")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"errors":[{"status":"409","code":"attempt.closed","title":"closed","detail":"attempt 1 is closed"}]}`)
	}))
	t.Cleanup(server.Close)
	var forced bool
	a := client.NewAttempt(transport(t, client.Config{Address: server.URL}), "att-1", func(force bool) { forced = force })
	_, err := a.Start(t.Context(), wire.StartRequest{})
	var got *client.Error
	if !errors.As(err, &got) || !client.HasCode(err, messages.CodeAttemptClosed) {
		t.Fatalf("got %v, want a *client.Error", err)
	}
	if diff := cmp.Diff(&client.Error{Status: 409, Code: messages.CodeAttemptClosed, Detail: "attempt 1 is closed"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !forced {
		t.Error("the header of a refusal was not seen")
	}
}

func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	request := client.Request{Method: "GET", Path: "/"}
	if err := transport(t, client.Config{Address: server.URL, CACert: ca}).Do(t.Context(), request); err != nil {
		t.Errorf("with its CA: %v", err)
	}
	err := transport(t, client.Config{Address: server.URL}).Do(t.Context(), request) // returns at once: retrying is no use
	if err == nil || !strings.Contains(err.Error(), "CA certificate") {
		t.Errorf("without its CA: got %v, want advice", err)
	}
}

func TestBrokenDownloadStartsAgain(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("gantry"), 10_000)
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/gantry/v1/attempts/att-1/plan" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", "60000")
		if tries.Add(1) == 1 {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 50_000)) // and then the connection breaks
			return
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(server.Close)
	f, err := os.Create(filepath.Join(t.TempDir(), "plan"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := client.NewAttempt(transport(t, client.Config{Address: server.URL}), "att-1", nil)
	if err := a.Plan(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || !bytes.Equal(got, content) || tries.Load() != 2 {
		t.Errorf("got %d bytes after %d tries, %v", len(got), tries.Load(), err)
	}
	if state, err := a.State(t.Context()); state != nil || err != nil {
		t.Errorf("no state: got %q, %v, want nil", state, err)
	}
}

// TestAnotherTokenOnTheSameConnection: the apply that goes on from a plan speaks for itself, by the plan's connection.
func TestAnotherTokenOnTheSameConnection(t *testing.T) {
	t.Parallel()
	var tokens []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.RemoteAddr+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	plan := transport(t, client.Config{Address: server.URL, CACert: ca, Token: "plan"})
	for _, tr := range []*client.Transport{plan, plan.As("apply"), plan} {
		if err := tr.Do(t.Context(), client.Request{Method: "GET", Path: "/"}); err != nil {
			t.Fatal(err)
		}
	}
	address, _, _ := strings.Cut(tokens[0], " ")
	if diff := cmp.Diff([]string{address + " Bearer plan", address + " Bearer apply", address + " Bearer plan"}, tokens); diff != "" {
		t.Errorf("requests differ (-want +got):\n%s", diff)
	}
}
