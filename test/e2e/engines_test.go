package e2e_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/dirhash"
)

// What the tests build, once per machine: both come from the Go module proxy.
const (
	timeProvider = "0.14.2"
	tofuModule   = "github.com/opentofu/opentofu@v1.12.6"
	buildLimit   = 25 * time.Minute
	platform     = runtime.GOOS + "_" + runtime.GOARCH
)

// built returns a program in the user's cache folder. If it is not there yet, build makes it at the path it is given.
func built(t *testing.T, name string, build func(ctx context.Context, path string) error) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "gantry", "test-programs")
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	fmt.Fprintf(os.Stderr, "e2e: building %s into %s, which takes minutes but happens once\n", name, dir)
	tmp, err := os.MkdirTemp("", "gantry-build-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(t.Context(), buildLimit)
	defer cancel()
	if err := build(ctx, filepath.Join(tmp, name)); err != nil {
		t.Fatalf("NOT TESTED: %s cannot be built here, which needs the Go module proxy: %v", name, err)
	}
	b, err := os.ReadFile(filepath.Join(tmp, name))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(path+".tmp", b, 0o755)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func goCommand(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(append(os.Environ(), "GOWORK=off", "GOFLAGS="), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, tail(errs.String(), 10))
	}
	return out, nil
}

// provider is terraform-provider-time.
func provider(t *testing.T) string {
	t.Helper()
	return built(t, "terraform-provider-time_v"+timeProvider, func(ctx context.Context, path string) error {
		bin := filepath.Join(filepath.Dir(path), "bin")
		if _, err := goCommand(ctx, filepath.Dir(path), []string{"GOBIN=" + bin}, "install", "github.com/hashicorp/terraform-provider-time@v"+timeProvider); err != nil {
			return err
		}
		return os.Rename(filepath.Join(bin, "terraform-provider-time"), path)
	})
}

// tofu is an OpenTofu of this machine, or one that is built: the module has replacements, so go install refuses it.
func tofu(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("tofu"); err == nil {
		return path
	}
	dir := filepath.Base(tofuModule)
	path := built(t, "tofu-"+strings.TrimPrefix(dir, "opentofu@"), func(ctx context.Context, path string) error {
		out, err := goCommand(ctx, filepath.Dir(path), nil, "mod", "download", "-json", tofuModule)
		if err != nil {
			return err
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return err
		}
		_, err = goCommand(ctx, module.Dir, nil, "build", "-mod=readonly", "-trimpath", "-o", path, "./cmd/tofu")
		return err
	})
	program := filepath.Join(shared(t), "tofu") // a link would lead to a folder of this user's, where a run cannot go
	if os.Link(path, program) == nil {
		return program
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(program, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return program
}

const stopwatch = `
terraform {
  required_providers {
    time = { source = "%s/time", version = "` + timeProvider + `" }
  }
}
resource "time_offset" "week" {
  base_rfc3339 = "2026-01-01T00:00:00Z"
  offset_days  = 7
}
output "week" { value = time_offset.week.rfc3339 }
`

// providerMirror is a folder that has the provider, as an installation without access to registries would.
func providerMirror(t *testing.T) string {
	t.Helper()
	program, dir := provider(t), shared(t)
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"registry.terraform.io", "registry.opentofu.org"} { // each engine has a default of its own
		folder := filepath.Join(dir, host, "hashicorp", "time", timeProvider, platform)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(program)), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestProviderFromFilesystemMirror: a real provider plans, applies and destroys; one that the mirror has not got and no
// registry gives is named.
func TestProviderFromFilesystemMirror(t *testing.T) {
	t.Parallel()
	mirror := providerMirror(t)
	s := newServer(t)
	s.args = append(s.args, "--provider-filesystem-mirror", mirror, "--provider-network-mirror", "https://127.0.0.1:1/none")
	s.start()
	dir := config(t, fmt.Sprintf(stopwatch, "hashicorp"))
	r := s.must("run", dir, "-w", "default/time", "--auto-approve")
	for _, want := range []string{"Installed hashicorp/time v" + timeProvider, "1 added", "2026-01-08T00:00:00Z"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("got\n%s\nwant %q in it", r.stdout, want)
		}
	}
	if r := s.must("run", dir, "-w", "default/time", "--destroy", "--auto-approve"); !strings.Contains(r.stdout, "1 destroyed") {
		t.Errorf("got\n%s\nwant the resource destroyed", r.stdout)
	}
	r = s.gantry("run", config(t, fmt.Sprintf(stopwatch, "acme")), "-w", "default/missing", "--auto-approve")
	if r.code != 1 || !strings.Contains(r.stdout, "Failed to query available provider packages") || !strings.Contains(r.stderr, "provider acme/time") {
		t.Errorf("got %s\nwant terraform's text in the log and a failure that names acme/time", r)
	}
	if got := s.runs("default/missing"); len(got) != 1 || got[0].Status != "errored" {
		t.Errorf("got %v, want one errored run", got)
	}
}

// TestProviderFromNetworkMirror: a provider is downloaded once for all runs that have its hash in their lock file.
func TestProviderFromNetworkMirror(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(provider(t))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	h := &zip.FileHeader{Name: "terraform-provider-time_v" + timeProvider}
	h.SetMode(0o755)
	if f, err := z.CreateHeader(h); err == nil {
		_, _ = f.Write(b)
	}
	z.Close()
	downloads := make(chan bool, 10)
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/m/registry.terraform.io/hashicorp/time/index.json":
			fmt.Fprintf(w, `{"versions":{%q:{}}}`, timeProvider)
		case "/m/registry.terraform.io/hashicorp/time/" + timeProvider + ".json":
			fmt.Fprintf(w, `{"archives":{%q:{"url":"time.zip"}}}`, platform)
		case "/m/registry.terraform.io/hashicorp/time/time.zip":
			if r.Method == http.MethodGet { // it asks for the size first
				downloads <- true
			}
			w.Header().Set("Content-Type", "application/zip")
			_, _ = w.Write(archive.Bytes())
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(site.Close)
	s := newServer(t)
	s.args = append(s.args, "--provider-network-mirror", site.URL+"/m")
	s.start("SSL_CERT_FILE=" + certificate(t, site))
	dir := config(t, fmt.Sprintf(stopwatch, "hashicorp"))
	s.must("run", dir, "-w", "default/first", "--auto-approve")
	lock(t, dir)
	for _, next := range [][2]string{{"default/second", "from the shared cache directory"}, {"default/third", "was initialized before"}} {
		ws, want := next[0], next[1]
		if r := s.must("run", dir, "-w", ws, "--auto-approve"); !strings.Contains(r.stdout, want) {
			t.Errorf("%s: got\n%s\nwant %q, for the provider is in the cache", ws, r.stdout, want)
		}
	}
	if got := len(downloads); got != 1 {
		t.Errorf("the provider was downloaded %d times, want once", got)
	}
}

// certificate writes the site's certificate to a file.
func certificate(t *testing.T, site *httptest.Server) string {
	t.Helper()
	path := filepath.Join(shared(t), "site.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: site.Certificate().Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// lock writes the dependency lock file that terraform would for the package.
func lock(t *testing.T, dir string) {
	t.Helper()
	program := provider(t)
	sum, err := dirhash.Hash1([]string{filepath.Base(program)}, func(string) (io.ReadCloser, error) { return os.Open(program) })
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("provider \"registry.terraform.io/hashicorp/time\" {\n  version     = %q\n  constraints = %q\n  hashes      = [%q]\n}\n", timeProvider, timeProvider, sum)
	if err := os.WriteFile(filepath.Join(dir, ".terraform.lock.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// document writes an execution document.
func document(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "execution.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpenTofu: whole runs of tofu, with what differs from terraform: files of its own, its own default registry, and a
// development build's version.
func TestOpenTofu(t *testing.T) {
	t.Parallel()
	program, mirror := tofu(t), providerMirror(t)
	s := newServer(t)
	s.args = append(s.args, "--provider-filesystem-mirror", mirror)
	s.start("PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"))
	const ws = "default/tofu"
	s.must("workspaces", "new", ws, "--execution", document(t, `{"engine":"tofu","terraform_version":">= 1.6"}`))
	dir := config(t, `output "from" { value = "main.tf, which tofu does not read beside main.tofu" }`)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.tofu", fmt.Sprintf(stopwatch, "hashicorp")+`resource "terraform_data" "each" { count = 3 }`)
	write("zzz_override.tofu", "terraform {\n  backend \"local\" { path = \"/nowhere/x\" }\n}\n")
	r := s.must("run", dir, "-w", ws, "--auto-approve")
	for _, want := range []string{"OpenTofu", "Installed hashicorp/time v" + timeProvider, "4 added", "2026-01-08T00:00:00Z"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("got\n%s\nwant %q in it", r.stdout, want)
		}
	}
	write("main.tofu", fmt.Sprintf(stopwatch, "hashicorp"))
	if r := s.must("run", dir, "-w", ws, "--auto-approve"); !strings.Contains(r.stdout, "3 destroyed") {
		t.Errorf("got\n%s\nwant the state of the first run continued", r.stdout)
	}
	var state struct {
		Serial  int
		Outputs map[string]struct{ Value string }
	}
	decode(t, s.must("state", "pull", ws).stdout, &state)
	if state.Serial < 2 || state.Outputs["week"].Value != "2026-01-08T00:00:00Z" {
		t.Errorf("got state %+v, want the second run's", state)
	}
	write("main.tofu", "resource {")
	if r := s.gantry("run", dir, "-w", ws, "--auto-approve"); r.code != 1 || !strings.Contains(r.stderr, "Unclosed configuration block") || strings.Contains(r.stderr, "encountered problems") {
		t.Errorf("got %s\nwant the first error in the configuration", r)
	}
	r = s.gantry("run", dir, "-w", ws, "--auto-approve", "--execution", document(t, `{"terraform_version":"1.12.99-dev"}`), "--plan-only")
	if strings.Contains(r.stderr, "run.engine_missing") {
		t.Errorf("got %s\nwant a development version to be any that is installed", r)
	}
}

// TestEngineThatCannotBeHad: the run says what was wanted, what was tried, and what to do.
func TestEngineThatCannotBeHad(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(site.Close)
	s := newServer(t)
	s.args = append(s.args, "--terraform-mirror", site.URL, "--tofu-mirror", site.URL)
	s.start()
	dir := config(t, `locals { a = 1 }`)
	for _, tt := range []struct{ name, document, want string }{
		{"exact", `{"terraform_version":"9.9.9"}`, "terraform 9.9.9 could not be had"},
		{"constraint", `{"engine":"tofu","terraform_version":"~> 99.0"}`, "tofu ~> 99.0 could not be had"},
	} {
		ws := "default/" + tt.name
		r := s.gantry("run", dir, "-w", ws, "--auto-approve", "--execution", document(t, tt.document))
		if _, reason, _ := strings.Cut(r.stderr, "Error: "); r.code != 1 || strings.Count(reason, "\n") != 1 || len(reason) > 800 {
			t.Errorf("%s: got %s\nwant exit code 1 and one line that is not too long", tt.name, r)
		}
		for _, want := range []string{tt.want, "run.engine_missing", site.URL, "404", "Choose another terraform_version"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%s: got\n%s\nwant %q in it", tt.name, r.stderr, want)
			}
		}
		if !strings.Contains(r.stdout, tt.want) {
			t.Errorf("%s: got log\n%s\nwant the reason in it", tt.name, r.stdout)
		}
	}
}
