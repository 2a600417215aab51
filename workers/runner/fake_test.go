package runner_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/runner"
)

// fakeAPI is the server's side of one attempt, in memory.
type fakeAPI struct {
	t testing.TB
	*httptest.Server

	mu            sync.Mutex
	token         string
	inputs        wire.Inputs
	configuration []byte
	state, plan   []byte
	planJSON      []byte
	refuseStart   messages.Code // code of the refusal, if any
	refusePlan    messages.Code
	resultFailing int // so many results are answered 503
	cancelHeader  string
	down          bool // every call is answered 503
	superseded    bool // what the status says
	starts        []wire.StartRequest
	results       []wire.Result
	order         []string // of the calls that change something
	onStart       func()
	resultAt      time.Time
	stored        chan struct{} // gets a value for each stored state, if set

	slowly func(w http.ResponseWriter, body []byte) // gives what is slow
	slow   string                                   // "configuration" or "state", if set

	next func(wire.Result) *wire.Claim // what a runner that can carry on is given, if set
}

func newAPI(t testing.TB, files map[string]string) *fakeAPI {
	api := &fakeAPI{t: t, token: "secret-token", configuration: tarball(t, files)}
	mux := http.NewServeMux()
	const attempt = "/api/gantry/v1/attempts/{id}/"
	mux.HandleFunc("GET "+attempt+"inputs", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(api.inputs) })
	mux.HandleFunc("GET "+attempt+"configuration", func(w http.ResponseWriter, _ *http.Request) { api.giveInTime(w, "configuration", api.configuration) })
	mux.HandleFunc("GET "+attempt+"state", func(w http.ResponseWriter, _ *http.Request) { api.giveInTime(w, "state", api.state) })
	mux.HandleFunc("GET "+attempt+"plan", func(w http.ResponseWriter, _ *http.Request) { api.give(w, api.plan) })
	mux.HandleFunc("PUT "+attempt+"plan", func(w http.ResponseWriter, r *http.Request) {
		if api.refusePlan != "" {
			refuse(w, http.StatusRequestEntityTooLarge, api.refusePlan)
			return
		}
		api.plan = api.take(r, "plan")
	})
	mux.HandleFunc("PUT "+attempt+"plan-json", func(_ http.ResponseWriter, r *http.Request) { api.planJSON = api.take(r, "plan-json") })
	mux.HandleFunc("PUT "+attempt+"state", api.putState)
	mux.HandleFunc("GET "+strings.TrimSuffix(attempt, "/"), func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(wire.AttemptStatus{Open: !api.superseded})
	})
	mux.HandleFunc("POST "+attempt+"start", api.start)
	mux.HandleFunc("POST "+attempt+"result", api.result)
	api.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.mu.Lock()
		defer api.mu.Unlock()
		if got := r.Header.Get("Authorization"); got != "Bearer "+api.token {
			refuse(w, http.StatusUnauthorized, messages.CodeUnauthorized)
			return
		}
		if api.down {
			refuse(w, http.StatusServiceUnavailable, messages.CodeUnavailable)
			return
		}
		if api.cancelHeader != "" {
			w.Header().Set(wire.HeaderCancel, api.cancelHeader)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	return api
}

func refuse(w http.ResponseWriter, status int, code messages.Code) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"status":"%d","code":%q,"title":"refused","detail":"refused by the test"}]}`, status, code)
}

func (a *fakeAPI) give(w http.ResponseWriter, body []byte) {
	if body == nil {
		refuse(w, http.StatusNotFound, messages.CodeNotFound)
		return
	}
	_, _ = w.Write(body)
}

// giveInTime gives what may be slow.
func (a *fakeAPI) giveInTime(w http.ResponseWriter, what string, body []byte) {
	if a.slow == what {
		a.slowly(w, body)
		return
	}
	a.give(w, body)
}

func (a *fakeAPI) take(r *http.Request, what string) []byte {
	a.order = append(a.order, what)
	b, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Errorf("%s: %v", what, err)
	}
	return b
}

func (a *fakeAPI) putState(w http.ResponseWriter, r *http.Request) {
	b := a.take(r, "state")
	if sum := md5.Sum(b); r.Header.Get(wire.HeaderStateMD5) != base64.StdEncoding.EncodeToString(sum[:]) {
		refuse(w, http.StatusBadRequest, messages.CodeInvalid)
		return
	}
	a.state = b
	if a.stored != nil {
		a.stored <- struct{}{}
	}
}

func (a *fakeAPI) start(w http.ResponseWriter, r *http.Request) {
	var req wire.StartRequest
	if err := json.Unmarshal(a.take(r, "start"), &req); err != nil {
		a.t.Error(err)
	}
	a.starts = append(a.starts, req)
	if a.refuseStart != "" {
		refuse(w, http.StatusConflict, a.refuseStart)
		return
	}
	if a.onStart != nil {
		a.onStart()
	}
	fmt.Fprint(w, `{"started_at":"2026-01-01T00:00:00Z"}`)
}

func (a *fakeAPI) result(w http.ResponseWriter, r *http.Request) {
	var res wire.Result
	if err := json.Unmarshal(a.take(r, "result"), &res); err != nil {
		a.t.Error(err)
	}
	if a.resultFailing > 0 {
		a.resultFailing--
		refuse(w, http.StatusServiceUnavailable, messages.CodeUnavailable)
		return
	}
	a.results, a.resultAt = append(a.results, res), time.Now()
	var answer wire.ResultAnswer
	if res.CarryOn != "" && a.next != nil {
		answer.Next = a.next(res)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// fakeBus is NATS in memory.
type fakeBus struct {
	mu       sync.Mutex
	handle   func(messages.Command)
	events   []messages.Event
	log      []byte
	size     int64
	sha256   string
	failing  int // so many chunks are refused
	released int
	left     int
	printed  chan struct{} // closed and made anew whenever a chunk arrives

	lost    chan struct{}
	noLease bool // nobody ever gets the lease
}

func newBus() *fakeBus {
	return &fakeBus{lost: make(chan struct{}), printed: make(chan struct{})}
}

func (b *fakeBus) connect(context.Context, runner.Assignment) (runner.Bus, error) {
	return runner.Bus{Control: b, Events: b, Logs: b, Close: func() {}}, nil
}

func (b *fakeBus) Acquire(ctx context.Context, _ wire.Inputs) (runner.Lease, error) {
	if b.noLease {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b, nil
}
func (b *fakeBus) Lost() <-chan struct{} { return b.lost }
func (b *fakeBus) Valid() bool {
	select {
	case <-b.lost:
		return false
	default:
		return true
	}
}
func (b *fakeBus) Leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left++
}
func (b *fakeBus) Release(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released++
	return nil
}

func (b *fakeBus) Commands(handle func(messages.Command)) (func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handle = handle
	return func() {}, nil
}

func (b *fakeBus) command(c messages.Command) {
	b.mu.Lock()
	handle := b.handle
	b.mu.Unlock()
	handle(c)
}

func (b *fakeBus) Publish(_ context.Context, e messages.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, e)
	return e.Validate()
}

func (b *fakeBus) Chunk(_ context.Context, offset int64, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing > 0 {
		b.failing--
		return errors.New("not now")
	}
	if offset != int64(len(b.log)) || len(data) > messages.MaxLogChunk {
		return fmt.Errorf("chunk of %d bytes at %d, want it at %d", len(data), offset, len(b.log))
	}
	b.log = append(b.log, data...)
	close(b.printed)
	b.printed = make(chan struct{})
	return nil
}

func (b *fakeBus) End(ctx context.Context, offset int64, rest []byte, sha256 string) error {
	if err := b.Chunk(ctx, offset, rest); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size, b.sha256 = offset+int64(len(rest)), sha256
	return nil
}

// set changes what the server does from now on.
func (a *fakeAPI) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// await waits until the log has the text.
func (b *fakeBus) await(t *testing.T, text string) {
	t.Helper()
	for {
		b.mu.Lock()
		found, next := strings.Contains(plain(b.log), text), b.printed
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-next:
		case <-t.Context().Done():
			t.Errorf("the log never had %q", text)
			return
		}
	}
}

// plain is a log without its colors.
func plain(log []byte) string {
	return string(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAll(log, nil))
}

func tarball(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for name, content := range files {
		err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))})
		if err == nil {
			_, err = io.WriteString(tw, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
