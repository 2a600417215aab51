package cli_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// objectRoutes are the calls about workspaces, states, tokens and accounts; each is recorded with its body.
func (f *fakeAPI) objectRoutes(mux *http.ServeMux) {
	state := func(id, serial, more string) string {
		return one("state-versions", id, `"serial":`+serial+`,"size":2048,"created-at":"2026-01-02T03:04:05Z",`+
			`"hosted-state-download-url":"https://public.example/api/v2/download"`+more,
			`"run":{"data":{"type":"runs","id":"run-1"}},"workspace":{"data":{"type":"workspaces","id":"ws-1"}}`)
	}
	const x, secret = `"key":"x","value":"1","category":"terraform","hcl":true,"sensitive":false`, `"key":"TOKEN","value":null,"category":"env","sensitive":true`
	vars := many(one("vars", "var-1", x, ""), one("vars", "var-2", secret, `"varset":{"data":{"type":"varsets","id":"varset-1"}}`))
	set := one("varsets", "varset-1", `"name":"AWS keys","global":false,"priority":true`, `"organization":{"data":{"type":"organizations","id":"acme"}},
		"workspaces":{"data":[{"type":"workspaces","id":"ws-1"}]},"vars":{"data":[{"type":"vars","id":"var-2"}]}`)
	const execution = `{"own":{},"effective":{"execution_mode":"local"}}`
	for pattern, body := range map[string]string{
		"GET /api/v2/account/details":                              doc(one("users", "user-1", `"username":"ann"`, "")),
		"GET /api/v2/workspaces/ws-1/state-versions":               many(state("sv-2", "2", `,"pushed-by":"ann"`), state("sv-1", "1", "")),
		"GET /api/v2/state-versions/sv-1":                          doc(state("sv-1", "1", "")),
		"POST /api/v2/workspaces/ws-1/state-versions":              doc(state("sv-3", "3", "")),
		"PATCH /api/v2/workspaces/ws-1/state-versions":             doc(state("sv-3", "3", "")),
		"POST /api/v2/workspaces/ws-1/actions/{action}":            "{}",
		"DELETE /api/v2/workspaces/ws-1":                           "{}",
		"GET /api/gantry/v1/workspaces/ws-1/execution":             execution,
		"PUT /api/gantry/v1/workspaces/ws-1/execution":             execution,
		"GET /api/gantry/v1/organizations/acme/execution":          execution,
		"PUT /api/gantry/v1/organizations/acme/execution":          execution,
		"GET /api/v2/workspaces/ws-1/vars":                         vars,
		"GET /api/v2/workspaces/ws-1/all-vars":                     vars,
		"POST /api/v2/workspaces/ws-1/vars":                        doc(one("vars", "var-3", x, "")),
		"PATCH /api/v2/workspaces/ws-1/vars/{id}":                  doc(one("vars", "var-2", secret, "")),
		"DELETE /api/v2/workspaces/ws-1/vars/{id}":                 "{}",
		"GET /api/v2/workspaces/ws-1/varsets":                      many(set),
		"GET /api/v2/organizations/acme/varsets":                   many(set),
		"POST /api/v2/organizations/acme/varsets":                  doc(set),
		"PATCH /api/v2/varsets/varset-1":                           doc(set),
		"DELETE /api/v2/varsets/varset-1":                          "{}",
		"GET /api/v2/varsets/varset-1/relationships/vars":          many(),
		"POST /api/v2/varsets/varset-1/relationships/vars":         doc(one("vars", "var-3", x, "")),
		"POST /api/v2/varsets/varset-1/relationships/workspaces":   "{}",
		"DELETE /api/v2/varsets/varset-1/relationships/workspaces": "{}",
		"POST /api/gantry/v1/runs":                                 `{"id":"run-1"}`,
		"GET /api/gantry/v1/tokens":                                `[{"id":"at-1","description":"ci","created_at":"2026-01-02T03:04:05Z"}]`,
		"POST /api/gantry/v1/tokens":                               `{"id":"at-2","description":"ci","created_at":"2026-01-02T03:04:05Z","token":"gantry-s3cret"}`,
		"DELETE /api/gantry/v1/tokens/at-1":                        `{"id":"at-1","own":true}`,
		"GET /api/gantry/v1/dead-letters":                          "[" + deadLetter + "]",
		"GET /api/gantry/v1/dead-letters/7":                        deadLetter,
		"POST /api/gantry/v1/dead-letters/7/replay":                deadLetter,
		"DELETE /api/gantry/v1/dead-letters/7":                     ``,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body := body
			if r.Header.Get("Authorization") != "Bearer "+token {
				refuse(w, 401, "unauthorized", "unknown token")
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.record(r)
			if r.URL.Query().Get("after") == "7" { // the last there is
				body = "[]"
			}
			if f.execution != "" && strings.HasSuffix(r.URL.Path, "/execution") {
				body = f.execution
			}
			if f.failure != "" && r.Method != http.MethodGet {
				refuse(w, 409, f.failure, "no: "+f.failure)
				return
			}
			answer(body)(w, r)
		})
	}
}

// record is called with mu held.
func (f *fakeAPI) record(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Method != http.MethodGet {
		f.calls = append(f.calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
	}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	execution, state := filepath.Join(dir, "execution.json"), filepath.Join(dir, "a.tfstate")
	write(t, execution, `{"execution_mode":"local","workdir":"modules/net"}`)
	write(t, state, `{"version":4,"serial":7,"lineage":"l"}`)
	const ws = "/api/v2/workspaces/ws-1"
	const pushed = `"lineage":"l","md5":"9769a6862c681edb7c7a7dec561e14c8","serial":7`
	for _, tt := range []struct {
		args, says string
		absent     bool // the workspace
		calls      []string
	}{
		{args: "workspaces new acme/net --auto-apply --execution " + execution, absent: true, says: "Created workspace acme/net.", calls: []string{
			`POST /api/v2/organizations/acme/workspaces {"data":{"type":"workspaces","attributes":{"auto-apply":true,"name":"net"}}}`,
			`PUT /api/gantry/v1/workspaces/ws-1/execution {"execution_mode":"local","workdir":"modules/net"}`}},
		{args: "workspaces edit acme/net --description d --auto-apply=false", says: "Changed workspace acme/net.", calls: []string{
			`PATCH ` + ws + ` {"data":{"type":"workspaces","attributes":{"auto-apply":false,"description":"d"}}}`}},
		{args: "workspaces edit acme/net --working-directory modules/net --terraform-version 1.11.4", says: "Changed workspace acme/net.", calls: []string{
			`PATCH /api/v2/workspaces/ws-1 {"data":{"type":"workspaces","attributes":{"terraform-version":"1.11.4","working-directory":"modules/net"}}}`}},
		{args: "organizations show acme", says: "local"},
		{args: "organizations edit acme --execution " + execution, says: "Changed the defaults of organization acme.", calls: []string{
			`PUT /api/gantry/v1/organizations/acme/execution {"execution_mode":"local","workdir":"modules/net"}`}},
		{args: "workspaces edit acme/net --execution " + execution, calls: []string{
			`PUT /api/gantry/v1/workspaces/ws-1/execution {"execution_mode":"local","workdir":"modules/net"}`}},
		{args: "workspaces lock acme/net --reason r", says: "Locked workspace acme/net.", calls: []string{`POST ` + ws + `/actions/lock {"reason":"r"}`}},
		{args: "workspaces unlock acme/net", says: "Unlocked", calls: []string{`POST ` + ws + `/actions/unlock {}`}},
		{args: "workspaces unlock acme/net --force", calls: []string{`POST ` + ws + `/actions/force-unlock {}`}},
		{args: "workspaces delete acme/net --yes", says: "Deleted workspace acme/net.", calls: []string{`POST ` + ws + `/actions/safe-delete {}`}},
		{args: "workspaces delete acme/net --yes --force", calls: []string{`DELETE ` + ws}},
		{args: "vars set acme/net region=eu --description d", says: "Set region of workspace acme/net.", calls: []string{
			`POST ` + ws + `/vars {"data":{"type":"vars","attributes":{"key":"region","value":"eu","category":"terraform","description":"d"}}}`}},
		{args: "vars set acme/net x=[1] --hcl", says: "Set x of workspace acme/net.", calls: []string{
			`PATCH ` + ws + `/vars/var-1 {"data":{"type":"vars","attributes":{"key":"x","value":"[1]","category":"terraform","hcl":true}}}`}},
		{args: "vars set acme/net TOKEN --env --value-file " + state, says: "Set TOKEN of", calls: []string{`PATCH ` + ws + `/vars/var-2 {"data":{"type":"vars","attributes":` +
			`{"key":"TOKEN","value":"{\"version\":4,\"serial\":7,\"lineage\":\"l\"}","category":"env"}}}`}},
		{args: "vars delete acme/net TOKEN --env", says: "Deleted TOKEN of workspace acme/net.", calls: []string{`DELETE ` + ws + `/vars/var-2`}},
		{args: "varsets new acme/aws --priority", says: "Created variable set acme/aws.", calls: []string{
			`POST /api/v2/organizations/acme/varsets {"data":{"type":"varsets","attributes":{"name":"aws","priority":true}}}`}},
		{args: "tokens new ci --expires-in 720h", says: "gantry-s3cret\n", calls: []string{`POST /api/gantry/v1/tokens {"description":"ci","expires_in":"720h0m0s"}`}},
		{args: "tokens revoke at-1", says: "It was the one this command used", calls: []string{`DELETE /api/gantry/v1/tokens/at-1`}},
		{args: "state push acme/net " + state, says: "sv-3, serial 3", calls: []string{`POST ` + ws + `/state-versions {"data":{"type":"state-versions",` +
			`"attributes":{"force":false,` + pushed + `,"state":"eyJ2ZXJzaW9uIjo0LCJzZXJpYWwiOjcsImxpbmVhZ2UiOiJsIn0="}}}`}},
		{args: "state rollback acme/net sv-1", says: "back at the state of serial 1: sv-3, serial 3", calls: []string{`PATCH ` + ws + `/state-versions ` +
			`{"data":{"type":"state-versions","attributes":{},"relationships":{"rollback-state-version":{"data":{"type":"state-versions","id":"sv-1"}}}}}`}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.hasNet = !tt.absent
			x := on(t, f)
			x.check(t, x.run(t, strings.Fields(tt.args)...), 0, tt.says, "")
			if diff := cmp.Diff(tt.calls, f.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			asJSON := on(t, newFakeWith(t, f.hasNet && !tt.absent))
			asJSON.check(t, asJSON.run(t, strings.Fields(tt.args+" -o json")...), 0, "", "")
			if !json.Valid([]byte(asJSON.out.String())) {
				t.Errorf("-o json: got %s", asJSON.out.String())
			}
		})
	}
}

func newFakeWith(t *testing.T, hasNet bool) *fakeAPI {
	t.Helper()
	f := newFake(t)
	f.hasNet = hasNet
	return f
}

func TestObjectsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad, state := filepath.Join(dir, "bad.json"), filepath.Join(dir, "a.tfstate")
	write(t, bad, `{"execution_mode":"local","pool":1}`)
	write(t, state, `{"version":4,"serial":7,"lineage":"l"}`)
	for _, tt := range []struct{ args, failure, says string }{
		{"workspaces new acme/net", "", "workspace acme/net exists already. Change it with gantry workspaces edit acme/net"},
		{"workspaces new other/net", "", `organization "other" does not exist`},
		{"workspaces new acme/net --execution " + bad, "", "bad.json: "},
		{"workspaces edit acme/net", "", "nothing to change: give --description"},
		{"workspaces edit acme/net --execution " + bad + " --working-directory x", "", "--execution and --working-directory exclude each other"},
		{"organizations edit acme", "", "nothing to change: give --execution"},
		{"organizations edit acme --execution " + bad, "", "bad.json: "},
		{"workspaces edit acme/net --execution /nowhere", "", "--execution: open /nowhere"},
		{"workspaces delete acme/net", "", "say --yes"},
		{"workspaces delete acme/net --yes", "conflict", "managed by nobody, with --force"},
		{"workspaces lock acme/net", "workspace.locked", "See who holds it with gantry workspaces show"},
		{"workspaces unlock acme/net", "workspace.locked", "--force"},
		{"tokens new", "", "DESCRIPTION is missing"},
		{"tokens new ci --expires-in 1ms", "", "is not a life"},
		{"tokens revoke at-9", "", "token at-9 does not exist. See gantry tokens list"},
		{"state list acme/other", "", "workspace acme/other does not exist"},
		{"state list acme/net --limit 0", "", "--limit 0 is not a positive number"},
		{"state show acme/net --version sv-9", "", "workspace acme/net has no state version sv-9. See gantry state list acme/net"},
		{"state rollback acme/net sv-9", "", "has no state version sv-9"},
		{"state push acme/net /nowhere", "", "the state file: open /nowhere"},
		{"state push acme/net " + bad, "", "is not a state file"},
		{"state push acme/net " + state, "state.conflict", "Compare with gantry state pull acme/net, then use --force"},
		{"state push acme/net " + state + " --force", "workspace.locked", "See what holds it with gantry workspaces show acme/net"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.failure = tt.failure
			x := on(t, f)
			x.check(t, x.run(t, strings.Fields(tt.args)...), 1, "", tt.says)
			if text := x.err.String(); !strings.HasPrefix(text, "Error: ") || strings.Count(text, "\n") != 1 || x.out.String() != "" {
				t.Errorf("got stderr %q and stdout %q, want one line of error and nothing else", text, x.out.String())
			}
		})
	}
}

func TestDeletingAsks(t *testing.T) {
	t.Parallel()
	for answer, code := range map[string]int{"yes\n": 0, "net\n": 3, "": 3} {
		f := newFake(t)
		x := on(t, f)
		x.interactive, x.stdin = true, strings.NewReader(answer)
		x.check(t, x.run(t, "workspaces", "delete", "acme/net"), code, "Delete workspace acme/net with its runs and states?", "")
		if deleted := len(f.calls) == 1; deleted != (code == 0) {
			t.Errorf("answer %q: got calls %v", answer, f.calls)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	x.env = map[string]string{"HOME": t.TempDir(), "GANTRY_DATA_DIR": t.TempDir()}
	x.stdin = strings.NewReader("wr0ng\n")
	x.check(t, x.run(t, "login", f.server.URL), 1, "", "does not accept the token")
	x.stdin = strings.NewReader(token + "\n")
	x.check(t, x.run(t, "login", f.server.URL), 0, "as ann", "")
	path := filepath.Join(x.env["HOME"], ".config", "gantry", "credentials.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner only", info, err)
	}
	x.check(t, x.run(t, "organizations", "list"), 0, "acme", "")
	x.check(t, x.run(t, "logout"), 0, "Forgot the token", "")
	x.err = output{}
	x.check(t, x.run(t, "organizations", "list"), 4, "", "or use gantry login ADDRESS")
	if strings.Contains(x.out.String()+x.err.String(), "wr0ng") {
		t.Error("got the token in an answer")
	}
}

// TestLoginForTerraform: terraform's own file gets the token under the host with its port, and keeps what was in it.
func TestLoginForTerraform(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	secure := httptest.NewTLSServer(f.server.Config.Handler)
	t.Cleanup(secure.Close)
	x := on(t, f)
	home := t.TempDir()
	x.env = map[string]string{"HOME": home, "GANTRY_DATA_DIR": t.TempDir()}
	ca, theirs := filepath.Join(home, "ca.pem"), filepath.Join(home, ".terraform.d", "credentials.tfrc.json")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})))
	if err := os.Mkdir(filepath.Dir(theirs), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, theirs, `{"credentials":{"app.terraform.io":{"token":"other"}},"kept":1}`)
	hosts := func() map[string]string {
		t.Helper()
		var file struct {
			Credentials map[string]struct{ Token string }
			Kept        int
		}
		text, err := os.ReadFile(theirs)
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		info, statErr := os.Stat(theirs)
		if err != nil || statErr != nil || info.Mode().Perm() != 0o600 || file.Kept != 1 {
			t.Errorf("got %s, %v, %v, want the rest as it was and mode 0600", text, err, statErr)
		}
		out := map[string]string{}
		for host, c := range file.Credentials {
			out[host] = c.Token
		}
		return out
	}
	x.stdin = strings.NewReader(token)
	x.check(t, x.run(t, "login", secure.URL, "--ca-file", ca), 0, "Terraform finds it for "+strings.TrimPrefix(secure.URL, "https://"), "")
	if diff := cmp.Diff(map[string]string{"app.terraform.io": "other", strings.TrimPrefix(secure.URL, "https://"): token}, hosts()); diff != "" {
		t.Errorf("after login (-want +got):\n%s", diff)
	}
	x.check(t, x.run(t, "organizations", "list"), 0, "acme", "") // the authority is remembered too
	x.check(t, x.run(t, "logout"), 0, "Forgot", "")
	if diff := cmp.Diff(map[string]string{"app.terraform.io": "other"}, hosts()); diff != "" {
		t.Errorf("after logout (-want +got):\n%s", diff)
	}
	write(t, theirs, "nonsense")
	x.stdin = strings.NewReader(token)
	x.check(t, x.run(t, "login", secure.URL, "--ca-file", ca), 1, "", "cannot be read")
}

func TestShowsOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	x.interactive = true
	x.check(t, x.run(t, "runs", "list"), 0, "\x1b[32mapplied\x1b[0m", "")
	x.check(t, x.run(t, "workspaces", "list", "acme"), 0, "\x1b[1mNAME", "")
	x.check(t, x.run(t, "tokens", "list"), 0, "days ago", "")
	x = on(t, f)
	x.interactive, x.env["NO_COLOR"] = true, "1"
	x.check(t, x.run(t, "runs", "list"), 0, "applied", "")
	if strings.Contains(x.out.String(), "\x1b[") {
		t.Errorf("got colors with NO_COLOR: %q", x.out.String())
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for args, want := range map[string]string{
		"workspaces show ":       "acme/\n",
		"workspaces show acme/":  "acme/net\n",
		"run -w acme/":           "acme/net\n",
		"runs show ":             "run-1\tacme/net applied\n",
		"workspaces list ":       "acme\n",
		"runs list -o ":          "text\njson\n",
		"state rollback acme/n ": ":0\n",
	} {
		x := on(t, f)
		cut := strings.LastIndex(args, " ")
		x.check(t, x.run(t, append(append([]string{"__complete"}, strings.Fields(args[:cut])...), args[cut+1:])...), 0, want, "")
	}
	x := on(t, f)
	x.check(t, x.run(t, "completion", "bash"), 0, "gantry", "")
	x.check(t, x.run(t, "help"), 0, "Plan and apply:\n  run ", "")
}

// TestVariables: what is asked for, shown and refused, where the name of a set has a blank in it.
func TestVariables(t *testing.T) {
	t.Parallel()
	const sets = "/api/v2/varsets/varset-1"
	for _, tt := range []struct {
		name, stdin    string
		args           []string
		code           int
		says, complain string
		calls          []string
	}{
		{name: "list", args: []string{"vars", "list", "acme/net"}, says: "TOKEN  env        <sensitive>"},
		{name: "list all", args: []string{"vars", "list", "acme/net", "--all"}, says: "variable set AWS keys"},
		{name: "sets", args: []string{"varsets", "list", "acme"}, says: "AWS keys  1 workspace  yes       1"},
		{name: "show", args: []string{"varsets", "show", "acme/aws KEYS"}, says: "Workspaces:    net"},
		{name: "stdin", stdin: "geheim\n", args: []string{"vars", "set", "acme/net", "NEW", "--env", "--sensitive"}, says: "Set NEW", calls: []string{
			`POST /api/v2/workspaces/ws-1/vars {"data":{"type":"vars","attributes":{"key":"NEW","value":"geheim","category":"env","sensitive":true}}}`}},
		{name: "short", stdin: "abc", args: []string{"vars", "set", "acme/net", "TOKEN", "--env"}, says: "Set TOKEN", complain: "too short to be masked", calls: []string{
			`PATCH /api/v2/workspaces/ws-1/vars/var-2 {"data":{"type":"vars","attributes":{"key":"TOKEN","value":"abc","category":"env"}}}`}},
		{name: "of a set", args: []string{"vars", "set", "acme/AWS keys", "R=eu", "--env", "--varset"}, says: "Set R of variable set acme/AWS keys.", calls: []string{
			`POST ` + sets + `/relationships/vars {"data":{"type":"vars","attributes":{"key":"R","value":"eu","category":"env"}}}`}},
		{name: "assign", args: []string{"varsets", "assign", "acme/AWS keys", "net"}, says: "Assigned variable set acme/AWS keys: net.", calls: []string{
			`POST ` + sets + `/relationships/workspaces {"data":[{"type":"workspaces","id":"ws-1"}]}`}},
		{name: "unassign", args: []string{"varsets", "unassign", "acme/AWS keys", "acme/net"}, says: "Unassigned", calls: []string{
			`DELETE ` + sets + `/relationships/workspaces {"data":[{"type":"workspaces","id":"ws-1"}]}`}},
		{name: "edit", args: []string{"varsets", "edit", "acme/AWS keys", "--global"}, says: "Changed", calls: []string{`PATCH ` + sets + ` {"data":{"type":"varsets","attributes":{"global":true}}}`}},
		{name: "delete", args: []string{"varsets", "delete", "acme/AWS keys", "--yes"}, says: "Deleted", calls: []string{`DELETE ` + sets}},
		{name: "public", args: []string{"vars", "set", "acme/net", "NEW=geheim", "--sensitive"}, code: 1, complain: "arguments of a process are public"},
		{name: "public, sensitive before", args: []string{"vars", "set", "acme/net", "TOKEN=geheim", "--env"}, code: 1, complain: "TOKEN of workspace acme/net is sensitive"},
		{name: "reserved", args: []string{"vars", "set", "acme/net", "TF_DATA_DIR=x", "--env"}, code: 1, complain: "TF_DATA_DIR cannot be set: Gantry decides"},
		{name: "no expression", args: []string{"vars", "set", "acme/net", "x=[geheim", "--hcl"}, code: 1, complain: `the value of "x" is not an HCL expression`},
		{name: "absent", args: []string{"vars", "delete", "acme/net", "TOKEN"}, code: 1, complain: `has no terraform variable "TOKEN" (--env names`},
		{name: "no set", args: []string{"varsets", "show", "acme/gcp"}, code: 1, complain: "gantry varsets new acme/gcp"},
		{name: "run", args: []string{"run", folder(t, "main.tf"), "-w", "acme/net", "--var", "x=[geheim"}, code: 1, complain: `--var x: field value: the value of "x" is not`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			x := on(t, f)
			x.stdin = strings.NewReader(tt.stdin)
			x.check(t, x.run(t, tt.args...), tt.code, tt.says, tt.complain)
			if diff := cmp.Diff(tt.calls, f.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if text := x.out.String() + x.err.String(); strings.Contains(text, "geheim") {
				t.Errorf("the value is told: %s", text)
			}
		})
	}
}

func TestAStateFromStandardInput(t *testing.T) {
	t.Parallel()
	x := on(t, newFake(t))
	x.stdin = strings.NewReader(`{"version":4,"serial":7,"lineage":"l"}`)
	x.check(t, x.run(t, "state", "push", "acme/net", "-"), 0, "standard input is the state of workspace acme/net now", "")
}
