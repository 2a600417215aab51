package cli_test

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/cli"
)

// terminal is one use of the program.
type terminal struct {
	env         map[string]string
	stdin       io.Reader
	interactive bool
	signals     chan os.Signal
	out, err    output
}

// on is a terminal whose environment points to the fake.
func on(t *testing.T, f *fakeAPI) *terminal {
	t.Helper()
	return &terminal{
		env: map[string]string{
			"GANTRY_ADDRESS": f.server.URL, "GANTRY_TOKEN": token, "GANTRY_DATA_DIR": t.TempDir(), "HOME": t.TempDir(),
		},
		stdin: strings.NewReader(""), signals: make(chan os.Signal),
	}
}

func (x *terminal) run(t *testing.T, args ...string) int {
	t.Helper()
	return cli.Main(t.Context(), cli.Env{
		Stdin: x.stdin, Stdout: &x.out, Stderr: &x.err, StdinTerminal: x.interactive, StdoutTerminal: x.interactive, StderrTerminal: x.interactive,
		Getenv: func(name string) string { return x.env[name] }, Signals: x.signals, Version: "1.2.3",
	}, args)
}

// check compares an exit code and looks for texts.
func (x *terminal) check(t *testing.T, got, want int, inOut, inErr string) {
	t.Helper()
	if got != want || !strings.Contains(x.out.String(), inOut) || !strings.Contains(x.err.String(), inErr) {
		t.Errorf("got exit code %d, want %d, with %q on stdout and %q on stderr\nstdout:\n%s\nstderr:\n%s",
			got, want, inOut, inErr, x.out.String(), x.err.String())
	}
}

func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		write(t, filepath.Join(dir, name), "# "+name)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	good, empty := folder(t, "main.tf"), folder(t, "notes.txt")
	tokenFile := filepath.Join(empty, "token")
	write(t, tokenFile, token)
	for _, tt := range []struct {
		name string
		args string
		env  map[string]string
		code int
		says string
	}{
		{"unknown command", "plan", nil, 1, `unknown command "plan". See gantry --help`},
		{"misspelled command", "runs lst", nil, 1, `did you mean "list"?`},
		{"unknown flag", "runs list --color", nil, 1, "unknown flag --color. See gantry runs list --help"},
		{"missing argument", "runs show", nil, 1, "ID is missing"},
		{"extra argument", "version now", nil, 1, `unexpected argument "now"`},
		{"format", "version -o yaml", nil, 1, `-o "yaml" is neither text nor json`},
		{"no workspace", "run", nil, 1, "-w ORG/NAME is missing"},
		{"workspace without organization", "run -w net", nil, 1, `"net" is not a workspace: write ORGANIZATION/NAME`},
		{"workspace with two slashes", "workspaces show a/b/c", nil, 1, `"a/b/c" is not a workspace`},
		{"workspace name", "state pull acme/n.t", nil, 1, `"n.t" is not a valid workspace name`},
		{"organization name", "organizations new a/b", nil, 1, `"a/b" is not a valid organization name`},
		{"contradiction", "run -w acme/net --plan-only --auto-approve", nil, 1, "exclude each other"},
		{"no folder", "run /nowhere -w acme/net", nil, 1, "folder /nowhere does not exist"},
		{"a file", "run " + tokenFile + " -w acme/net", nil, 1, "is not a folder"},
		{"no configuration", "run " + empty + " -w acme/net", nil, 1, "has no .tf files"},
		{"unknown organization", "run " + good + " -w other/net", nil, 1, "gantry organizations new other"},
		{"unknown workspace", "workspaces show acme/other", nil, 1, "workspace acme/other does not exist. See gantry workspaces list acme"},
		{"unknown organization's runs", "runs list --org other", nil, 1, `organization "other" does not exist`},
		{"unknown run", "runs logs run-2", nil, 1, "run run-2 does not exist"},
		{"no server", "runs list", map[string]string{"GANTRY_ADDRESS": ""}, 4, "Start one with gantry server, or set GANTRY_ADDRESS"},
		{"server down", "organizations list", map[string]string{"GANTRY_ADDRESS": "http://127.0.0.1:1"}, 4, "connection refused"},
		{"status of a server that is down", "status", map[string]string{"GANTRY_ADDRESS": "http://127.0.0.1:1"}, 4, "no answer from the server at http://127.0.0.1:1"},
		{"not an address", "runs list", map[string]string{"GANTRY_ADDRESS": "gantry"}, 1, "not a URL"},
		{"plain http", "runs list", map[string]string{"GANTRY_ADDRESS": "http://gantry.example.com"}, 1, "use https"},
		{"no token", "runs list", map[string]string{"GANTRY_TOKEN": ""}, 1, "Set GANTRY_TOKEN or GANTRY_TOKEN_FILE"},
		{"wrong token", "runs list", map[string]string{"GANTRY_TOKEN": "wr0ng"}, 1, "does not accept the token from GANTRY_TOKEN"},
		{"two tokens", "runs list", map[string]string{"GANTRY_TOKEN_FILE": tokenFile}, 1, "GANTRY_TOKEN and GANTRY_TOKEN_FILE are both set"},
		{"no token file", "runs list --token-file /nowhere", nil, 1, "--token-file: open /nowhere"},
		{"no CA", "runs list", map[string]string{"GANTRY_ADDRESS": "https://localhost:1", "GANTRY_CA_FILE": "/nowhere"}, 1, "CA certificate cannot be read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := on(t, f)
			maps.Copy(x.env, tt.env)
			code := x.run(t, strings.Fields(tt.args)...)
			x.check(t, code, tt.code, "", tt.says)
			text := x.err.String()
			if !strings.HasPrefix(text, "Error: ") || strings.Count(text, "\n") != 1 || strings.Contains(text, "wr0ng") || x.out.String() != "" {
				t.Errorf("got stderr %q and stdout %q, want one line of error and nothing else", text, x.out.String())
			}
		})
	}
}

func TestServerOfThisMachineIsFound(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	dir := x.env["GANTRY_DATA_DIR"]
	write(t, filepath.Join(dir, "address"), f.server.URL+"\n")
	write(t, filepath.Join(dir, "admin-token"), token+"\n")
	delete(x.env, "GANTRY_ADDRESS")
	delete(x.env, "GANTRY_TOKEN")
	x.check(t, x.run(t, "status", "--wait", "5s"), 0, "ready", "")
	x.check(t, x.run(t, "organizations", "list"), 0, "acme", "")

	other := on(t, newFake(t)) // another server must not get this one's token
	other.env["GANTRY_DATA_DIR"] = dir
	delete(other.env, "GANTRY_TOKEN")
	other.check(t, other.run(t, "organizations", "list"), 1, "", "belongs to the server of this machine only")
}

func TestRunActions(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.enter("planned")
	for _, action := range []string{"apply", "discard", "cancel"} {
		x := on(t, f)
		x.check(t, x.run(t, "runs", action, "run-1"), 0, "Run run-1 is ", "")
	}
	if diff := cmp.Diff([]string{"apply", "discard", "cancel"}, f.actions); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
	x := on(t, f)
	x.check(t, x.run(t, "runs", "apply", "run-2"), 1, "", "run run-2 does not exist")
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	for _, tt := range []struct{ golden, args string }{
		{"version.json", "version -o json"},
		{"organizations-list.json", "organizations list -o json"},
		{"organizations-new.json", "organizations new acme -o json"},
		{"workspaces-list.json", "workspaces list acme -o json"},
		{"workspaces-show.json", "workspaces show acme/net -o json"},
		{"runs-list.json", "runs list -o json"},
		{"runs-list.json", "runs list -w acme/net -o json"},
		{"runs-show.json", "runs show run-1 -o json"},
		{"state-pull.json", "state pull acme/net"},
		{"workspaces-list.txt", "workspaces list acme"},
		{"runs-logs.txt", "runs logs run-1"},
		{"runs-logs-apply.txt", "runs logs run-1 --apply"},
	} {
		x := on(t, f)
		x.check(t, x.run(t, strings.Fields(tt.args)...), 0, "", "")
		got := strings.ReplaceAll(x.out.String(), f.server.URL, "ADDRESS")
		path := filepath.Join("testdata", tt.golden)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			write(t, path, got)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("gantry %s (-want +got), UPDATE_GOLDEN=1 writes it:\n%s", tt.args, diff)
		}
	}
}
