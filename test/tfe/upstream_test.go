package tfe_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-tfe"
)

var (
	onlyTests = flag.String("upstream.run", "", "run these tests of go-tfe, whatever upstream.txt says, and print what they print")
	ofUser    = flag.Bool("upstream.user", false, "the token is one of a user: run those that want such a one as well")
	calls     = flag.String("upstream.calls", "", "write the calls that were answered well, with their number, to this file")
)

const upstream = "github.com/hashicorp/go-tfe"

// TestUpstream runs go-tfe's own integration tests, out of the module cache, against the server: those that upstream.txt says
// pass. Those that it says are skipped have a reason there.
func TestUpstream(t *testing.T) {
	client(t) // skips without a server
	program, dir := buildUpstream(t)
	plan := readPlan(t)
	if *onlyTests == "" {
		plan.checkComplete(t, program, dir)
	}
	front := newFront(t)
	run, skip := plan.patterns(*ofUser)
	if *onlyTests != "" {
		run, skip = *onlyTests, ""
	}
	token := os.Getenv("TFE_TOKEN")
	env := append(os.Environ(), "TFE_ADDRESS="+front.server.URL, "SSL_CERT_FILE="+front.authorities,
		"TFE_ADMIN_PROVISION_LICENSES_TOKEN="+token, "TFC_RUN_TASK_URL="+front.hook.URL, "SKIP_PAID=1")
	var out bytes.Buffer
	var mu sync.Mutex
	var group sync.WaitGroup
	room := make(chan struct{}, 10)
	for _, name := range testNames(t, program, dir, run) { // each in a process of its own: one that panics takes no other along
		group.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			args := []string{"tool", "test2json", program, "-test.v", "-test.timeout=4m", "-test.run=^" + name + "$"}
			if skip != "" {
				args = append(args, "-test.skip="+skip)
			}
			cmd := exec.CommandContext(t.Context(), "go", args...)
			cmd.Dir, cmd.Env = dir, env
			one, err := cmd.Output() // exit code 1: some test failed, which the events say
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			out.Write(one)
		})
	}
	group.Wait()
	results := readResults(t, out.Bytes())
	front.report(t)
	if *onlyTests != "" {
		results.print(t)
		return
	}
	plan.judge(t, results)
	if *ofUser { // which makes all of the calls
		checkEndpoints(t, front.calls)
	}
}

// checkEndpoints reports the calls of which endpoints.txt says that go-tfe's tests make them and the server answers them well,
// and which were not seen to be.
func checkEndpoints(t *testing.T, calls map[string]int) {
	t.Helper()
	text, err := os.ReadFile("endpoints.txt")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 4 || words[1] != "suite" {
			continue
		}
		pattern := regexp.MustCompile("^2[0-9]{2} " + words[2] + " " + regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(words[3], "[^/]+") + "$")
		if !slices.ContainsFunc(slices.Collect(maps.Keys(calls)), pattern.MatchString) {
			t.Errorf("endpoints.txt says that go-tfe's tests call %s %s, and no call of it was answered well", words[2], words[3])
		}
	}
}

// buildUpstream compiles the tests of go-tfe, and returns the program and the folder that it wants to run in.
func buildUpstream(t *testing.T) (program, dir string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "go-tfe.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, upstream).CombinedOutput(); err != nil {
		t.Fatalf("compile the tests of %s: %v\n%s", upstream, err, out)
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", upstream).Output()
	must(t, err)
	return program, strings.TrimSpace(string(out))
}

// front stands before the server: it answers the vendor's two calls about what an organization has paid for, which many tests
// begin with, takes notifications, and counts the calls that the server answered well.
type front struct {
	server      *httptest.Server
	hook        *httptest.Server // takes notifications
	authorities string           // file
	client      *tfe.Client
	calls       map[string]int
	counted     chan string
	done        chan struct{}
}

func newFront(t *testing.T) *front {
	t.Helper()
	to, err := url.Parse(os.Getenv("TFE_ADDRESS"))
	must(t, err)
	f := &front{client: client(t), calls: map[string]int{}, counted: make(chan string, 100), done: make(chan struct{})}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			f.counted <- fmt.Sprintf("%d %s %s", r.StatusCode, r.Request.Method, r.Request.URL.Path)
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("GET /api/v2/admin/feature-sets", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.api+json")
		fmt.Fprint(w, `{"data":[{"id":"fs-1","type":"feature-sets","attributes":{"name":"all"}}]}`)
	})
	mux.HandleFunc("POST /api/v2/admin/organizations/{name}/subscription", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("DELETE /api/v2/workspaces/{id}", func(w http.ResponseWriter, r *http.Request) {
		f.endRuns(r.Context(), r.PathValue("id"))
		proxy.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /api/v2/organizations/{name}/organization-memberships", func(w http.ResponseWriter, r *http.Request) {
		f.makeUser(t, r)
		proxy.ServeHTTP(w, r)
	})
	f.hook = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(f.hook.Close)
	f.server = httptest.NewTLSServer(mux)
	go func() {
		defer close(f.done)
		for call := range f.counted {
			f.calls[call]++
		}
	}()
	own, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	must(t, err)
	f.authorities = filepath.Join(t.TempDir(), "authorities.pem")
	must(t, os.WriteFile(f.authorities, append(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw})...), 0o600))
	return f
}

// makeUser makes the user who is about to become a member by an email address. TFE sends an invitation; with Gantry users exist
// before.
func (f *front) makeUser(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct {
		Data struct{ Attributes struct{ Email string } }
	}
	name, _, ok := "", "", false
	if json.Unmarshal(body, &in) == nil {
		name, _, ok = strings.Cut(in.Data.Attributes.Email, "@")
	}
	if !ok {
		return // what the test wants to be refused
	}
	user, err := json.Marshal(map[string]string{"username": name, "email": in.Data.Attributes.Email})
	if err != nil {
		t.Error(err)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, os.Getenv("TFE_ADDRESS")+"/api/gantry/v1/users", bytes.NewReader(user))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("TFE_TOKEN"))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	_ = res.Body.Close() // one that exists already is as good
}

// endRuns ends the run that holds a workspace which is about to be deleted. TFE deletes what goes on; Gantry refuses to, and
// the tests clean up after themselves by deleting.
func (f *front) endRuns(ctx context.Context, workspace string) {
	w, err := f.client.Workspaces.ReadByID(ctx, workspace)
	for deadline := time.Now().Add(20 * time.Second); err == nil && w.Locked && w.CurrentRun != nil && time.Now().Before(deadline); {
		if run, err := f.client.Runs.Read(ctx, w.CurrentRun.ID); err == nil && run.Actions.IsDiscardable {
			_ = f.client.Runs.Discard(ctx, run.ID, tfe.RunDiscardOptions{}) // the loop sees what became of it
		} else if err == nil && run.Actions.IsCancelable {
			_ = f.client.Runs.Cancel(ctx, run.ID, tfe.RunCancelOptions{})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
		w, err = f.client.Workspaces.ReadByID(ctx, workspace)
	}
}

// report closes the front and writes what it counted.
func (f *front) report(t *testing.T) {
	t.Helper()
	f.server.Close()
	close(f.counted)
	<-f.done
	if *calls == "" {
		return
	}
	var b strings.Builder
	for call, n := range f.calls {
		fmt.Fprintf(&b, "%s\t%d\n", call, n)
	}
	must(t, os.WriteFile(*calls, []byte(b.String()), 0o600))
}

// results is how tests ended, by name: pass, fail or skip; and what they printed.
type results struct {
	ended map[string]string
	text  map[string]*bytes.Buffer
	took  map[string]time.Duration
}

func readResults(t *testing.T, out []byte) results {
	t.Helper()
	r := results{map[string]string{}, map[string]*bytes.Buffer{}, map[string]time.Duration{}}
	for line := range bytes.Lines(out) {
		var e struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("test2json: %v in %s", err, line)
		}
		if r.text[e.Test] == nil {
			r.text[e.Test] = &bytes.Buffer{}
		}
		switch e.Action {
		case "output":
			r.text[e.Test].WriteString(e.Output)
		case "pass", "fail", "skip":
			r.ended[e.Test], r.took[e.Test] = e.Action, time.Duration(e.Elapsed*float64(time.Second))
		}
	}
	return r
}

// print shows everything, of what passed the name only.
func (r results) print(t *testing.T) {
	t.Helper()
	var names []string
	for name := range r.text {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Printf("%s %s %s\n", r.ended[name], name, r.took[name])
		if r.ended[name] != "pass" {
			fmt.Print(r.text[name])
		}
	}
}

// plan is upstream.txt: tests, and parts of tests, that pass, those that pass with the token of a user only, and those that are
// skipped with the reason.
type plan struct {
	pass []string
	user []string
	skip map[string]string
}

// readPlan reads lines "pass NAME", "user NAME" and "skip NAME REASON".
func readPlan(t *testing.T) plan {
	t.Helper()
	f, err := os.Open("upstream.txt")
	must(t, err)
	defer f.Close()
	p := plan{skip: map[string]string{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "pass" && len(words) == 2:
			p.pass = append(p.pass, words[1])
		case words[0] == "user" && len(words) == 2:
			p.user = append(p.user, words[1])
		case words[0] == "skip" && len(words) > 2:
			p.skip[words[1]] = strings.Join(words[2:], " ")
		default:
			t.Errorf("upstream.txt: got the line %q, want pass NAME, user NAME, or skip NAME REASON", lines.Text())
		}
	}
	return p
}

// testNames lists the tests that the pattern selects.
func testNames(t *testing.T, program, dir, pattern string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "-test.list", pattern)
	cmd.Dir = dir
	out, err := cmd.Output()
	must(t, err)
	return slices.DeleteFunc(strings.Fields(string(out)), func(name string) bool { return !strings.HasPrefix(name, "Test") })
}

// checkComplete reports tests of go-tfe that the plan does not name, and names that are none.
func (p plan) checkComplete(t *testing.T, program, dir string) {
	t.Helper()
	known := map[string]bool{}
	for _, name := range testNames(t, program, dir, ".") {
		known[name] = true
		if !slices.Contains(slices.Concat(p.pass, p.user), name) && p.skip[name] == "" {
			t.Errorf("upstream.txt does not say whether %s passes", name)
		}
	}
	for _, name := range slices.Concat(p.pass, p.user, keys(p.skip)) {
		if top, _, _ := strings.Cut(name, "/"); !known[top] {
			t.Errorf("upstream.txt names %s, which go-tfe does not have", name)
		}
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// expected are the tests that pass with this kind of token.
func (p plan) expected(ofUser bool) []string {
	tops := slices.Clone(p.pass)
	for _, name := range p.user {
		if ofUser && !strings.Contains(name, "/") {
			tops = append(tops, name)
		}
	}
	return tops
}

// patterns are what the program of the tests takes for what passes and what is skipped within it.
func (p plan) patterns(ofUser bool) (run, skip string) {
	var parts []string
	left := keys(p.skip)
	if !ofUser {
		left = append(left, p.user...)
	}
	for _, name := range left {
		if strings.Contains(name, "/") {
			parts = append(parts, "^"+strings.ReplaceAll(quoted(name), "/", "$/^")+"$")
		}
	}
	return "^(" + strings.Join(p.expected(ofUser), "|") + ")$", strings.Join(parts, "|")
}

// quoted escapes what has a meaning in a pattern.
func quoted(name string) string {
	return strings.NewReplacer("(", `\(`, ")", `\)`, "[", `\[`, "]", `\]`, ".", `\.`, "+", `\+`, "?", `\?`, "*", `\*`, "|", `\|`).Replace(name)
}

// judge fails for each test that did not pass, with what it printed, and says how many did.
func (p plan) judge(t *testing.T, r results) {
	t.Helper()
	var passed, parts, skippedParts int
	for name, how := range r.ended {
		switch top := !strings.Contains(name, "/"); {
		case name == "":
		case how == "fail" && (top || !r.hasFailedPart(name)):
			t.Errorf("%s failed:\n%s", name, r.text[name])
		case how == "pass" && top:
			passed++
		case how == "pass":
			parts++
		case how == "skip" && top:
			t.Errorf("%s skipped itself, so it says nothing: put it under skip with the reason\n%s", name, r.text[name])
		case how == "skip":
			skippedParts++
		}
	}
	expected := p.expected(*ofUser)
	for _, name := range expected {
		if r.ended[name] == "" {
			t.Errorf("%s did not come to its end:\n%s", name, r.text[name])
		}
	}
	var skippedTops int
	for name := range p.skip {
		if !strings.Contains(name, "/") {
			skippedTops++
		}
	}
	t.Logf("go-tfe's own tests: %d passed of %d run (%d parts passed, %d skipped themselves), %d not run, each with its reason in upstream.txt",
		passed, len(expected), parts, skippedParts, skippedTops)
}

func (r results) hasFailedPart(name string) bool {
	for other, how := range r.ended {
		if how == "fail" && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}
