package agent_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/internal/natstest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/agent"
)

// output is what an agent says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) await(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		o.mu.Lock()
		said := o.b.String()
		o.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the agent said\n%s\nwant %q in it", said, text)
		}
	}
}

// api answers as a server: which pool the token is for, and what agents are told.
type api struct {
	pool  func(token string) (wire.PoolInfo, int)
	rival func(s wire.WorkerStatus) string

	mu   sync.Mutex // guards the rest
	said []wire.WorkerStatus
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info, status := a.pool(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if status != http.StatusOK {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": messages.CodeUnauthorized, "detail": "no"}}})
		return
	}
	if strings.HasSuffix(r.URL.Path, "/pool") {
		_ = json.NewEncoder(w).Encode(info)
		return
	}
	var s wire.WorkerStatus
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	a.said = append(a.said, s)
	a.mu.Unlock()
	var o wire.WorkerOrders
	if a.rival != nil {
		o.Rival = a.rival(s)
	}
	_ = json.NewEncoder(w).Encode(o)
}

// begin starts an agent of the version against the API. It has ended when end returns.
func begin(t *testing.T, a *api, version string, more ...string) (out *output, tokenFile string, end func()) {
	t.Helper()
	front := httptest.NewServer(a)
	t.Cleanup(front.Close)
	tokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := load(t, nil, append([]string{"--address", front.URL, "--token-file", tokenFile, "--data-dir", t.TempDir(), "--name", "a", "--run-as", "self",
		"--min-free-disk", "0", "--nats-url", natstest.Start(t).ClientURL()}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	out = &output{}
	one, err := agent.New(agent.Config{Settings: s, Version: version, Runner: []string{"/bin/cat"}, Log: slog.New(slog.NewTextHandler(out, nil)), Out: out, Output: out})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- one.Run(t.Context()) }()
	var once sync.Once
	end = func() {
		once.Do(func() {
			one.Drain()
			if err := <-done; err != nil {
				t.Errorf("the agent ended with %v, want no error", err)
			}
			if err := one.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(end)
	return out, tokenFile, end
}

func good(version string) func(string) (wire.PoolInfo, int) {
	return func(string) (wire.PoolInfo, int) {
		return wire.PoolInfo{ID: "apool-1", Name: "aws", Organization: "default", Version: version, Time: time.Now()}, http.StatusOK
	}
}

func TestRefusedTokenIsWaitedOut(t *testing.T) {
	t.Parallel()
	a := &api{pool: func(token string) (wire.PoolInfo, int) {
		if token == "old" {
			return wire.PoolInfo{}, http.StatusUnauthorized
		}
		return good("v1.0.0")(token)
	}}
	out, tokenFile, _ := begin(t, a, "v1.0.0")
	out.await(t, "does not take the token of "+tokenFile)
	if err := os.WriteFile(tokenFile, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	out.await(t, "ready default/aws a\n")
}

func TestAuthorityThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, end := begin(t, &api{pool: good("v1.0.0")}, "v1.0.0", "--ca-file", file)
	out.await(t, "--ca-file "+file+": there is no PEM certificate in it")
	end()
}

func TestVersionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for server, fits := range map[string]bool{"v1.4.0": true, "v1.5.2-3-gabc": true, "v1.3.9": true, "v1.6.0": false, "v1.2.0": false, "v2.4.0": false, "dev": true} {
		out, _, end := begin(t, &api{pool: good(server)}, "v1.4.7")
		if fits {
			out.await(t, "ready ")
		} else {
			out.await(t, "this agent is of version v1.4.7 and the server of "+server)
		}
		end()
	}
}

func TestNameThatAnotherAgentHas(t *testing.T) {
	t.Parallel()
	a := &api{pool: good("v1.0.0"), rival: func(s wire.WorkerStatus) string {
		if s.Name == "a" {
			return "192.0.2.7"
		}
		return ""
	}}
	out, _, end := begin(t, a, "v1.0.0")
	out.await(t, "ready default/aws a-")
	out.await(t, "192.0.2.7")
	end()
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := a.said[len(a.said)-1]; last.State != wire.WorkerExited || !strings.HasPrefix(last.Name, "a-") {
		t.Errorf("last word: got %+v, want that it exited, under the name it took", last)
	}
}

func TestWrongClockIsTold(t *testing.T) {
	t.Parallel()
	a := &api{pool: func(token string) (wire.PoolInfo, int) {
		info, status := good("v1.0.0")(token)
		info.Time = info.Time.Add(time.Hour)
		return info, status
	}}
	out, _, _ := begin(t, a, "v1.0.0")
	out.await(t, "ahead_of_the_server=-1h0m0s")
	out.await(t, "ready ")
}
