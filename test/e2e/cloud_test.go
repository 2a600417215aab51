package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// cloudCLI is the stock terraform, or tofu, in a folder whose configuration names the server as its cloud.
type cloudCLI struct {
	s       *server
	program string
	dir     string
	env     []string
}

// cloudHost is the server as a configuration names it.
func (s *server) cloudHost() string {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.args[slices.Index(s.args, "--https")+1])
	if err != nil {
		s.t.Fatal(err)
	}
	return "localhost:" + port
}

// newCloudServer starts a server whose links lead to its HTTPS address, as they do for users of the stock CLI.
func newCloudServer(t *testing.T, flags ...string) *server {
	t.Helper()
	s := newServer(t)
	s.args = append(append(s.args, "--public-url", "https://"+s.cloudHost()), flags...)
	s.start()
	return s
}

func (s *server) adminToken() string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "admin-token"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// stock returns the program in a folder with the configuration; a %s in block is the server's host.
func (s *server) stock(program, block, configuration string) *cloudCLI {
	s.t.Helper()
	dir := s.t.TempDir()
	files := map[string]string{
		"main.tf": configuration,
		"rc":      fmt.Sprintf("disable_checkpoint = true\ncredentials %q {\n  token = %q\n}\n", s.cloudHost(), s.adminToken()),
	}
	if block != "" {
		files["cloud.tf"] = strings.ReplaceAll(block, "%s", s.cloudHost())
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return &cloudCLI{s: s, program: program, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TF_CLI_CONFIG_FILE=" + filepath.Join(dir, "rc"),
		"SSL_CERT_FILE=" + filepath.Join(s.dir, "ca.pem"), "CHECKPOINT_DISABLE=1",
	}}
}

// cloudBlock names one workspace.
func cloudBlock(workspace string) string {
	return fmt.Sprintf(`terraform {
  cloud {
    hostname     = "%%s"
    organization = "default"
    workspaces { name = %q }
  }
}
`, workspace)
}

// remoteBackend names one workspace in the older way.
func remoteBackend(workspace string) string {
	return fmt.Sprintf(`terraform {
  backend "remote" {
    hostname     = "%%s"
    organization = "default"
    workspaces { name = %q }
  }
}
`, workspace)
}

func (c *cloudCLI) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	return cmd
}

// run runs the program to its end.
func (c *cloudCLI) run(args ...string) result {
	c.s.t.Helper()
	return c.runWith("", args...)
}

func (c *cloudCLI) runWith(stdin string, args ...string) result {
	c.s.t.Helper()
	ctx, cancel := context.WithTimeout(c.s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := c.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.s.t.Fatalf("terraform %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a command that has to succeed.
func (c *cloudCLI) must(args ...string) result {
	c.s.t.Helper()
	r := c.run(args...)
	if r.code != 0 {
		c.s.t.Fatalf("terraform %s: got %s, want exit code 0", strings.Join(args, " "), r)
	}
	return r
}

// stateContent is what of a state does not differ from one apply of a configuration to the other.
type stateContent struct {
	Outputs   map[string]any
	Resources map[string]map[string]any
}

// state reads the state by the program itself.
func (c *cloudCLI) state() stateContent {
	c.s.t.Helper()
	var raw struct {
		Outputs map[string]struct {
			Value any `json:"value"`
		} `json:"outputs"`
		Resources []struct {
			Type      string `json:"type"`
			Name      string `json:"name"`
			Instances []struct {
				Attributes map[string]any `json:"attributes"`
			} `json:"instances"`
		} `json:"resources"`
	}
	out := stateContent{map[string]any{}, map[string]map[string]any{}}
	pulled := c.must("state", "pull").stdout
	if strings.TrimSpace(pulled) == "" {
		return out
	}
	decode(c.s.t, pulled, &raw)
	for name, o := range raw.Outputs {
		out.Outputs[name] = o.Value
	}
	for _, r := range raw.Resources {
		for i, instance := range r.Instances {
			attributes := maps.Clone(instance.Attributes)
			delete(attributes, "id") // random
			out.Resources[fmt.Sprintf("%s.%s[%d]", r.Type, r.Name, i)] = attributes
		}
	}
	return out
}

// api calls TFE's API as a script does.
func (s *server) api(method, path, body string) (status int, answer []byte) {
	s.t.Helper()
	return s.call(method, "/api/v2"+path, body)
}

// call is api for any call.
func (s *server) call(method, path, body string) (status int, answer []byte) {
	s.t.Helper()
	ca, err := os.ReadFile(filepath.Join(s.dir, "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "https://"+s.cloudHost()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.adminToken())
	req.Header.Set("Content-Type", "application/vnd.api+json")
	got, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got.StatusCode, b
}

// workspaceAttributes reads a workspace of the organization "default".
func (s *server) workspaceAttributes(name string) (id string, attributes map[string]any) {
	s.t.Helper()
	status, b := s.api("GET", "/organizations/default/workspaces/"+name, "")
	var doc struct {
		Data struct {
			ID         string         `json:"id"`
			Attributes map[string]any `json:"attributes"`
		} `json:"data"`
	}
	if err := json.Unmarshal(b, &doc); err != nil || status != http.StatusOK {
		s.t.Fatalf("workspace %s: got %d %s (%v)", name, status, b, err)
	}
	return doc.Data.ID, doc.Data.Attributes
}

// setExecutionMode changes a workspace as TFE's users do.
func (s *server) setExecutionMode(name, mode string) {
	s.t.Helper()
	id, _ := s.workspaceAttributes(name)
	status, b := s.api("PATCH", "/workspaces/"+id, fmt.Sprintf(`{"data":{"type":"workspaces","attributes":{"execution-mode":%q}}}`, mode))
	if status != http.StatusOK {
		s.t.Fatalf("execution-mode %s: got %d %s", mode, status, b)
	}
}

// engines are the stock programs on this machine: terraform, and tofu where it is installed.
func engines(t *testing.T) []string {
	t.Helper()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Fatalf("no terraform to drive the server with: %v", err)
	}
	found := []string{terraform}
	if tofu, err := exec.LookPath("tofu"); err == nil {
		found = append(found, tofu)
	} else if cache, err := os.UserCacheDir(); err == nil {
		built, _ := filepath.Glob(filepath.Join(cache, "gantry*", "engines", "tofu-*", "tofu"))
		found = append(found, built[max(0, len(built)-1):]...)
	}
	return found
}
