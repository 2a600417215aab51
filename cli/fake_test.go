package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const token = "right"

// fakeAPI is as much of the server as the commands need: one organization "acme" with one workspace "net", and runs whose
// events a test scripts.
type fakeAPI struct {
	server *httptest.Server
	t      *testing.T

	planned []string // statuses a new run goes through by itself …
	applied []string // … and after its approval
	cancels []string // … and after it was asked to stop
	failure string
	strict  bool              // a planned run cannot be canceled, only discarded
	taken   bool              // a planned run was approved by somebody else when it is to be decided
	same    bool              // plans have no changes
	missing bool              // what the cluster of the k8s config lacks
	outputs string            // value of the one output, instead of some
	logs    map[string]string // by phase

	mu        sync.Mutex
	hasNet    bool
	execution string // documents of the workspace, instead of local ones
	state     string
	upload    []byte
	created   map[string]any // attributes of the last run
	statuses  []string       // of the run, one per event
	actions   []string
	calls     []string // those of objects_test.go, with their bodies
	comment   string   // of the last action
	changed   chan struct{}
}

func newFake(t *testing.T) *fakeAPI {
	t.Helper()
	f := &fakeAPI{
		t: t, hasNet: true, changed: make(chan struct{}), state: `{"version":4}`,
		planned: []string{"pending", "plan_queued", "planning", "planned"},
		applied: []string{"apply_queued", "applying", "applied"},
		cancels: []string{"canceled"},
		logs:    map[string]string{"plan": "\x02\x1b[1mthe plan\x1b[0m\n\x03", "apply": "\x02the apply\n\x03"},
	}
	mux := http.NewServeMux()
	f.routes(mux)
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakeAPI) routes(mux *http.ServeMux) {
	const v2 = "/api/v2"
	handle := func(pattern string, h http.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+v2+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+token {
				refuse(w, 401, "unauthorized", "unknown token")
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			h(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { refuse(w, 404, "not_found", "no "+r.URL.Path) })
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PUT /upload", func(_ http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.upload, _ = io.ReadAll(r.Body)
	})
	mux.HandleFunc("GET /logs/{phase}", f.log)
	mux.HandleFunc("GET /api/gantry/v1/runs/run-1/events", f.events)

	org := one("organizations", "acme", `"name":"acme","created-at":"2026-01-02T03:04:05Z"`, "")
	net := one("workspaces", "ws-1", `"name":"net","terraform-version":"1.11.4","locked":false`,
		`"organization":{"data":{"type":"organizations","id":"acme"}}`)
	handle("GET /organizations", answer(many(org)))
	handle("POST /organizations", answer(doc(org)))
	handle("GET /organizations/acme", answer(doc(org)))
	handle("GET /organizations/acme/workspaces", answer(many(net)))
	handle("POST /organizations/acme/workspaces", func(w http.ResponseWriter, r *http.Request) {
		if f.record(r); f.hasNet {
			refuse(w, 422, "name_taken", "there is a workspace net")
			return
		}
		f.hasNet = true
		answer(doc(net))(w, r)
	})
	handle("GET /organizations/acme/workspaces/net", func(w http.ResponseWriter, r *http.Request) {
		if !f.hasNet {
			refuse(w, 404, "not_found", "no workspace")
			return
		}
		answer(doc(net))(w, r)
	})
	handle("GET /workspaces/ws-1", answer(doc(net)))
	handle("PATCH /workspaces/ws-1", func(w http.ResponseWriter, r *http.Request) { f.record(r); answer(doc(net))(w, r) })
	handle("POST /workspaces/ws-1/configuration-versions",
		answer(doc(one("configuration-versions", "cv-1", `"status":"pending","upload-url":"https://public.example/upload"`, ""))))
	handle("GET /workspaces/ws-1/current-state-version", func(w http.ResponseWriter, r *http.Request) {
		if f.state == "" {
			refuse(w, 404, "not_found", "no state")
			return
		}
		answer(doc(one("state-versions", "sv-1", `"serial":1,"hosted-state-download-url":"https://public.example/api/v2/download"`, "")))(w, r)
	})
	handle("GET /download", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, f.state) })
	handle("GET /workspaces/ws-1/current-state-version-outputs", func(w http.ResponseWriter, r *http.Request) {
		if f.outputs != "" {
			answer(many(one("state-version-outputs", "wsout-1", `"name":"all","sensitive":false,"value":`+f.outputs, "")))(w, r)
			return
		}
		answer(many(
			one("state-version-outputs", "wsout-1", `"name":"count","sensitive":false,"value":3`, ""),
			one("state-version-outputs", "wsout-2", `"name":"password","sensitive":true,"value":"hunter2"`, "")))(w, r)
	})
	f.runRoutes(handle)
	f.objectRoutes(mux)
	f.k8sRoutes(mux)
}

func (f *fakeAPI) runRoutes(handle func(string, http.HandlerFunc)) {
	handle("POST /runs", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Data struct {
				Attributes map[string]any `json:"attributes"`
			} `json:"data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			f.t.Error(err)
		}
		f.created = in.Data.Attributes
		f.enter(f.planned...)
		if f.created["auto-apply"] == true && f.statuses[len(f.statuses)-1] == "planned" {
			f.enter(f.applied...)
		}
		fmt.Fprint(w, doc(f.run()))
	})
	handle("GET /runs/run-1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, doc(f.run())) })
	handle("GET /workspaces/ws-1/runs", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, many(f.run())) })
	handle("GET /organizations/acme/runs", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, many(f.run())) })
	for action, next := range map[string]func() []string{
		"apply": func() []string { return f.applied }, "discard": func() []string { return []string{"discarded"} },
		"cancel":       func() []string { return f.cancels },
		"force-cancel": func() []string { return []string{"force_canceled"} },
	} {
		handle("POST /runs/run-1/actions/"+action, func(w http.ResponseWriter, r *http.Request) {
			f.actions = append(f.actions, action)
			var in struct{ Comment string }
			_ = json.NewDecoder(r.Body).Decode(&in)
			f.comment = in.Comment
			if f.taken {
				f.enter(f.applied...)
				refuse(w, 409, "run.not_allowed", "the run is apply_queued")
				return
			}
			if action == "cancel" && f.statuses[len(f.statuses)-1] == "planned" && f.strict {
				refuse(w, 409, "run.not_allowed", "the run is planned")
				return
			}
			if action == "cancel" && len(f.cancels) > 0 {
				f.logs["plan"] += "\x03"
				f.logs["apply"] += "\x03"
			}
			f.enter(next()...)
			w.WriteHeader(http.StatusAccepted)
		})
	}
	const changes = `"status":"finished","resource-additions":3,"log-read-url":"https://public.example/logs/`
	handle("GET /plans/plan-1", answer(doc(one("plans", "plan-1", changes+`plan"`, ""))))
	handle("GET /applies/apply-1", answer(doc(one("applies", "apply-1", changes+`apply"`, ""))))
}

// enter is called with mu held.
func (f *fakeAPI) enter(statuses ...string) {
	f.statuses = append(f.statuses, statuses...)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeAPI) run() string {
	status := "applied"
	if n := len(f.statuses); n > 0 {
		status = f.statuses[n-1]
	}
	created, _ := json.Marshal(map[string]any{"auto-apply": f.created["auto-apply"] == true, "plan-only": f.created["plan-only"] == true})
	attributes := fmt.Sprintf(`"status":%q,"created-at":"2026-01-02T03:04:05Z","message":"m","has-changes":%v,"failure":%q,%s`,
		status, !f.same, f.failure, strings.Trim(string(created), "{}"))
	return one("runs", "run-1", attributes, `"workspace":{"data":{"type":"workspaces","id":"ws-1"}},
		"plan":{"data":{"type":"plans","id":"plan-1"}},"apply":{"data":{"type":"applies","id":"apply-1"}}`)
}

func (f *fakeAPI) log(w http.ResponseWriter, r *http.Request) {
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	f.mu.Lock()
	log := f.logs[r.PathValue("phase")]
	f.mu.Unlock()
	fmt.Fprint(w, log[min(offset, len(log)):])
}

func (f *fakeAPI) events(w http.ResponseWriter, r *http.Request) {
	sent, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	for {
		f.mu.Lock()
		statuses, changed := f.statuses, f.changed
		f.mu.Unlock()
		for ; sent < len(statuses); sent++ {
			const started = `{"attempts":[{"started_at":"2026-01-02T03:04:05Z"}]}`
			approved := ""
			if slices.Contains(statuses[:sent+1], "apply_queued") {
				approved = "ann"
			}
			fmt.Fprintf(w, `event: change
id: %d
data: {"event":{},"run":{"id":"run-1","seq":%d,"status":%q,"failure":%q,"has_changes":%v,"confirmed_by":%q,"plan":%s,"apply":%s}}

`, sent+1, sent+1, statuses[sent], f.failure, !f.same, approved, started, started)
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func one(kind, id, attributes, relationships string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"attributes":{%s},"relationships":{%s}}`, id, kind, attributes, relationships)
}

func doc(resource string) string { return `{"data":` + resource + `}` }

func many(resources ...string) string {
	return `{"data":[` + strings.Join(resources, ",") + `],"meta":{"pagination":{"current-page":1,"total-pages":1}}}`
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"status":"%d","code":%q,"detail":%q}]}`, status, code, detail)
}

// output is a buffer for several goroutines; a test can wait for a text in it.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	awaited string
	seen    chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.b.Write(p)
	if o.awaited != "" && strings.Contains(o.b.String(), o.awaited) {
		close(o.seen)
		o.awaited = ""
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// shows returns a channel that is closed once the text is there.
func (o *output) shows(text string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = make(chan struct{})
	if o.awaited = text; strings.Contains(o.b.String(), text) {
		close(o.seen)
		o.awaited = ""
	}
	return o.seen
}
