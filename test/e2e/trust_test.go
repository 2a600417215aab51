package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// value is that of the server's flag.
func (s *server) value(flag string) string {
	s.t.Helper()
	i := slices.Index(s.args, flag)
	if i < 0 {
		s.t.Fatalf("the server has no flag %s", flag)
	}
	return s.args[i+1]
}

// readmeCommands are the commands of the README's section, without their comments.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "../../README.md"), "## HTTPS in three commands")
	_, section, _ = strings.Cut(section, "```console\n")
	section, _, _ = strings.Cut(section, "```")
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(section), "\n") {
		line, _, _ = strings.Cut(strings.TrimPrefix(line, "$ "), " #")
		out = append(out, strings.TrimSpace(line))
	}
	if len(out) != 3 || out[0] != "make run" || !strings.Contains(out[1], "gantry trust") || !strings.Contains(out[2], "terraform init") {
		t.Fatalf("got %q in the README, want make run, trust and terraform", out)
	}
	return out
}

// shell runs a script as a user does who has nothing set but what is given, and returns its output.
func (s *server) shell(dir string, env []string, script string) (string, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -e\n"+script)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GANTRY_DATA_DIR=" + s.dir, "CHECKPOINT_DISABLE=1", "TERM=dumb"}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// checkout is a folder like the project's, whose example names this server.
func (s *server) checkout() string {
	s.t.Helper()
	dir := s.t.TempDir()
	example := filepath.Join(dir, "examples", "cloud")
	text := strings.ReplaceAll(read(s.t, "../../examples/cloud/main.tf"), "localhost:8443", s.host())
	err := errors.Join(os.MkdirAll(example, 0o755), os.WriteFile(filepath.Join(example, "main.tf"), []byte(text), 0o600),
		os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.Symlink(s.bin, filepath.Join(dir, "bin", "gantry")))
	if err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// host is how terraform names the server: as it says itself.
func (s *server) host() string {
	s.t.Helper()
	return strings.TrimPrefix(strings.TrimSpace(read(s.t, filepath.Join(s.dir, "https-address"))), "https://")
}

// TestThreeCommands follows the README as a new user without root does. The server is one that runs, as after make run.
func TestThreeCommands(t *testing.T) {
	t.Parallel()
	commands := readmeCommands(t)
	s := newServer(t)
	s.start()
	dir, home := s.checkout(), t.TempDir()
	// Root would change the system: that is the next test's.
	trust := strings.Replace(commands[1], "gantry trust", "gantry trust --print", 1)
	apply := strings.Replace(commands[2], "terraform apply", "terraform apply -auto-approve", 1)
	out, err := s.shell(dir, []string{"HOME=" + home}, trust+"\n"+`echo "trusted: $SSL_CERT_FILE"`+"\n"+apply)
	for _, want := range []string{"trusted: " + filepath.Join(s.dir, "ca.pem"), "Apply complete! Resources: 1 added", "carried out by the server"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %v and\n%s\nwant %q in it", err, out, want)
		}
	}
	if got := s.runs("default/cloud"); len(got) != 1 || got[0].Status != "applied" {
		t.Errorf("got runs %v, want one that is applied", got)
	}
	if out, err := s.shell(filepath.Join(dir, "examples", "cloud"), []string{"HOME=" + home}, "terraform plan"); err == nil || !strings.Contains(out, "certificate") {
		t.Errorf("without the second command: got %v and\n%s\nwant the certificate refused", err, out)
	}
}

// forward carries connections to the address until the test ends, as NAT does, and returns where it listens.
func forward(t *testing.T, to string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				ended := make(chan struct{}, 2)
				for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
					go func() { _, _ = io.Copy(way[0], way[1]); ended <- struct{}{} }()
				}
				select {
				case <-ended:
				case <-t.Context().Done():
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); open.Wait() })
	return ln.Addr().String()
}

// private is the start of a script that sees a system of its own where certificates and host names are concerned.
const private = `
mount --make-rprivate /
top=$(mktemp -d)
cp -a /etc/ssl/certs "$top/certs"; cp /etc/hosts "$top/hosts"; mkdir "$top/local"
echo "127.0.0.1 gantry.test" >>"$top/hosts"
mount --bind "$top/certs" /etc/ssl/certs
mount --bind "$top/local" /usr/local/share/ca-certificates
mount --bind "$top/hosts" /etc/hosts
trap 'rm -rf "$top" 2>/dev/null || true' EXIT
`

// TestTrustAsRoot installs the authority in a private copy of the system's store. Users come by another name and port than those
// that the server listens on, and there is no plain HTTP: every link of a run has to lead to the public address.
func TestTrustAsRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("SKIPPED, gantry trust AS ROOT IS NOT TESTED: it needs root and unshare, for a system that it may change; run make e2e as root on Linux")
	}
	if _, err := exec.LookPath("update-ca-certificates"); err != nil {
		t.Skip("SKIPPED, gantry trust AS ROOT IS NOT TESTED: it needs update-ca-certificates; install the package ca-certificates of Debian or Ubuntu")
	}
	before := read(t, "/etc/ssl/certs/ca-certificates.crt")
	s := newServer(t)
	_, port, err := net.SplitHostPort(forward(t, s.value("--https")))
	if err != nil {
		t.Fatal(err)
	}
	public := "https://gantry.test:" + port
	s.args = append(s.args, "--public-url", public+"/", "--http", "")
	s.start()
	dir, home := s.checkout(), t.TempDir()
	fingerprint := strings.TrimSpace(s.must("trust", "--show").stdout)
	script := private + `
curl -sS "$PUBLIC/healthz" && exit 1
bin/gantry trust --login
curl -sS "$PUBLIC/healthz"
(cd examples/cloud && terraform init && terraform apply -auto-approve)
curl -sS -H "Authorization: Bearer $(cat $GANTRY_DATA_DIR/admin-token)" "$PUBLIC/api/v2/organizations/default/workspaces/cloud"
bin/gantry runs list -w default/cloud -o json
bin/gantry trust
bin/gantry trust --remove
ls /usr/local/share/ca-certificates | wc -l
curl -sS "$PUBLIC/healthz" && exit 1
GANTRY_DATA_DIR=/nowhere bin/gantry trust "$PUBLIC" --fingerprint "$FINGERPRINT"
GANTRY_DATA_DIR=/nowhere bin/gantry status --address "$PUBLIC"
curl -sS "$PUBLIC/healthz"
GANTRY_DATA_DIR=/nowhere bin/gantry trust "$PUBLIC" --remove
curl -sS "$PUBLIC/healthz" && exit 1
echo the end
`
	file := filepath.Join(dir, "script")
	if err := os.WriteFile(file, []byte("set -e\n"+script), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.shell(dir, []string{"HOME=" + home, "PUBLIC=" + public, "FINGERPRINT=" + fingerprint}, "unshare --mount bash "+file)
	for _, want := range []string{"This system trusts", "Apply complete! Resources: 1 added", "the end\n", `"` + public + "/app/default/cloud/runs/"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %v and\n%s\nwant %q in it", err, out, want)
		}
	}
	if listener := s.value("--https"); strings.Contains(out, listener) {
		t.Errorf("got\n%s\nwant no link to %s, which no user can reach", out, listener)
	}
	if read(t, "/etc/ssl/certs/ca-certificates.crt") != before {
		t.Error("the test changed the certificates of this machine")
	}
}
