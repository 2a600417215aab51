package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const passphrase = "correct horse battery"

// TestLogin gives people access as an administrator does, and logs in as they do.
func TestLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.expect(0, "Created user ann, plan in default.", "users", "new", "ann", "--email", "ann@example.com", "--role", "plan", "--password-file", secret)
	s.expect(1, "exists already", "users", "new", "ANN", "--password-file", secret)
	s.expect(0, "plan in default", "users", "list")

	token := s.terraformLogin(dir)
	ann := s.as(token)
	ann.expect(0, "default", "organizations", "list")
	ann.expect(0, "terraform login", "tokens", "list")
	ann.expect(1, "site admin", "users", "list")
	ann.expect(0, "plan", "users", "list", "--org", "default")
	s.must("workspaces", "new", "default/net")
	r := ann.gantry("run", config(t, `resource "terraform_data" "x" {}`), "-w", "default/net", "--message", "by ann")
	if r.code != 5 {
		t.Fatalf("gantry run of who may plan: got %s, want exit code 5: it waits for approval", r)
	}
	id := s.runs("default/net")[0].ID
	ann.expect(1, "role write", "runs", "apply", id)
	ann.expect(1, "role admin", "workspaces", "delete", "default/net", "--yes")
	s.expect(0, "ann has the role write in default now", "users", "role", "ann", "write")
	ann.expect(0, "approved", "runs", "apply", id)
	s.waitFor(id, "applied")
	s.expect(0, "ann is no member of default any more", "users", "role", "ann", "none")
	ann.expect(1, "does not exist", "runs", "show", id)
	s.expect(0, "Deleted user ann", "users", "delete", "ann", "--yes")
	ann.expect(1, "revoked", "organizations", "list")
	s.lastAdminToken()
}

// lastAdminToken is asked for before it is revoked.
func (s *server) lastAdminToken() {
	s.t.Helper()
	var all []struct {
		ID   string `json:"id"`
		Kind string `json:"kind"`
	}
	decode(s.t, s.must("tokens", "list", "-o", "json").stdout, &all)
	for _, one := range all {
		if one.Kind == "admin" {
			s.expect(1, "last admin token", "tokens", "revoke", one.ID)
		}
	}
	s.must("tokens", "list")
}

// as is the same server for the holder of another token.
func (s *server) as(token string) *server {
	other := *s
	other.token = token
	return &other
}

// terraformLogin runs terraform login with a browser, and returns the token that terraform stored.
func (s *server) terraformLogin(dir string) string {
	s.t.Helper()
	program, err := exec.LookPath("terraform")
	if err != nil {
		s.t.Fatalf("this test needs terraform: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".terraform.d"), 0o700); err != nil { // terraform does not make it for this file
		s.t.Fatal(err)
	}
	_, port, _ := strings.Cut(s.args[6], ":")
	host := "localhost:" + port
	cmd := exec.Command(program, "login", host)
	// A PATH without browsers: terraform shows the address then.
	cmd.Env = []string{"HOME=" + dir, "PATH=" + dir, "TERM=dumb", "SSL_CERT_FILE=" + filepath.Join(s.dir, "ca.pem"), "CHECKPOINT_DISABLE=1"}
	cmd.Dir = dir
	x := s.terminal(cmd)
	x.await("Enter a value:")
	x.write("yes\n")
	asks := regexp.MustCompile(`https://localhost:\d+/app/~login/terraform\?\S+`)
	s.waitUntil("terraform shows an address", func() bool { return asks.MatchString(x.text()) })
	s.allow(asks.FindString(x.text()))
	if code := x.wait(); code != 0 {
		s.t.Fatalf("terraform login: got exit code %d:\n%s", code, tail(x.text(), 40))
	}
	path := filepath.Join(dir, ".terraform.d", "credentials.tfrc.json")
	var kept struct {
		Credentials map[string]struct{ Token string } `json:"credentials"`
	}
	decode(s.t, read(s.t, path), &kept)
	token := kept.Credentials[host].Token
	if !strings.HasPrefix(token, "gantry-") {
		s.t.Fatalf("got credentials of %d hosts, want a token of %s", len(kept.Credentials), host)
	}
	return token
}

// allow does in a browser what the page of terraform login asks for: log in, then allow.
func (s *server) allow(address string) {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(s.t, filepath.Join(s.dir, "ca.pem"))))
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	browser := &http.Client{
		Jar: jar, Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	}
	open := func(res *http.Response, err error) string {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			s.t.Fatalf("%s: got %s (%v)", res.Request.URL.Path, res.Status, err)
		}
		return string(b)
	}
	field := func(page, name string) string {
		s.t.Helper()
		found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
		if len(found) != 2 {
			s.t.Fatalf("got a page without the field %s:\n%s", name, page)
		}
		return strings.ReplaceAll(found[1], "&amp;", "&")
	}
	at, err := url.Parse(address)
	if err != nil {
		s.t.Fatal(err)
	}
	base := at.Scheme + "://" + at.Host
	page := open(browser.Get(address))
	page = open(browser.PostForm(base+"/app/login", url.Values{"username": {"ann"}, "password": {passphrase}, "next": {field(page, "next")}}))
	form := url.Values{"answer": {"allow"}}
	for _, name := range []string{"csrf", "redirect_uri", "code_challenge", "state"} {
		form.Set(name, field(page, name))
	}
	res, err := browser.PostForm(base+"/app/~login/terraform", form)
	var cut *url.Error
	if errors.As(err, &cut) && strings.HasPrefix(cut.URL, "http://localhost:") {
		return // the redirect led to terraform itself, which may close its page as soon as it has the code; how it exits tells
	}
	open(res, err)
}
