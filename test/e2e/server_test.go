package e2e_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFirstStart: what a new installation has, and that a second start keeps it.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	for file, mode := range map[string]os.FileMode{"admin-token": 0o600, "encryption-key": 0o600, "worker-token": 0o600, "ca.pem": 0} {
		info, err := os.Stat(filepath.Join(s.dir, file))
		if err != nil || (mode != 0 && info.Mode().Perm() != mode) {
			t.Errorf("%s: got %v, %v, want mode %v", file, info, err, mode)
		}
	}
	if out := s.must("organizations", "list").stdout; !strings.Contains(out, "default") {
		t.Errorf("got organizations\n%s\nwant default", out)
	}
	token := read(t, filepath.Join(s.dir, "admin-token"))
	s.stop()
	begun := time.Now()
	s.start()
	t.Logf("warm start took %s", time.Since(begun))
	if again := read(t, filepath.Join(s.dir, "admin-token")); again != token {
		t.Error("the admin token changed over a restart")
	}
	s.must("organizations", "list")
}

// TestBusyAddress: the error names the flag, and the server ends by itself with a failure.
func TestBusyAddress(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--http", "--https", "--nats"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			s.args = append(s.args, flag, ln.Addr().String())
			s.launch()
			if code := s.waitExit(); code != 1 || !strings.Contains(s.log.String(), flag+" "+ln.Addr().String()+" is in use") {
				t.Errorf("got exit code %d and\n%s\nwant 1 and the flag named", code, s.log)
			}
		})
	}
}

// TestSecondServer: two servers never share a data folder.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	other := newServer(t)
	for i, arg := range other.args {
		if arg == other.dir {
			other.args[i] = s.dir
		}
	}
	other.launch()
	if code := other.waitExit(); code != 1 || !strings.Contains(other.log.String(), "used by another gantry server") {
		t.Errorf("got exit code %d and\n%s\nwant 1 and the reason", code, other.log)
	}
	s.must("organizations", "list")
}

// TestPostgresKilled: a crashed database comes back under a running server, and a stale pid file stops nobody.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	pidFile := filepath.Join(s.dir, "postgres", "data", "postmaster.pid")
	pid, err := strconv.Atoi(strings.SplitN(read(t, pidFile), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := s.gantry("status", "--wait", "60s"); r.code != 0 {
		t.Fatalf("got %s, want the server ready again", r)
	}
	s.must("run", config(t, `output "a" { value = 1 }`), "-w", "default/again", "--auto-approve")
	s.kill()
	// Whoever has the dead postmaster's number now is not ours to touch.
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() }()
	s.start()
	if got := s.runs("default/again"); len(got) != 1 || got[0].Status != "applied" {
		t.Errorf("got runs %v, want the applied one", got)
	}
}

// TestBadSettings: each is refused before anything is started, naming the flag.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"unknown role":       {args: []string{"--roles", "api,judge"}, want: "judge"},
		"split without NATS": {args: []string{"--roles", "relay"}, want: "--nats-url is required"},
		"split, no database": {args: []string{"--roles", "relay", "--nats-url", "tls://nats:4222"}, want: "--database-url is required"},
		"no credentials":     {args: []string{"--nats-url", "tls://nats:4222"}, want: "--nats-credentials-file is required"},
		"worker alone":       {args: []string{"--roles", "worker", "--nats-url", "tls://nats:4222"}, want: "--address and --worker-token-file"},
		"NATS without TLS":   {args: []string{"--roles", "worker", "--nats-url", "nats://nats:4222", "--address", "https://x", "--worker-token-file", "x"}, want: "use tls://"},
		"copies of one NATS": {args: []string{"--replicas", "3"}, want: "--replicas"},
		"no address":         {args: []string{"--http", "", "--https", ""}, want: "--http and --https"},
		"cert without key":   {args: []string{"--tls-cert", "x"}, want: "--tls-key"},
		"external, no key":   {args: []string{"--database-url", "postgres://x"}, want: "--encryption-key-file"},
		"bad address":        {args: []string{"--nats", "4222"}, want: "--nats"},
		"bad variable":       {env: []string{"GANTRY_CONCURRENCY=lots"}, want: "GANTRY_CONCURRENCY"},
		"variable and file":  {env: []string{"GANTRY_LOG_FORMAT=text", "GANTRY_LOG_FORMAT_FILE=/x"}, want: "GANTRY_LOG_FORMAT_FILE"},
		"unknown flag":       {args: []string{"--port", "1"}, want: "--port"},
		"bad failpoint":      {env: []string{"GANTRY_FAILPOINT=x:0"}, want: "GANTRY_FAILPOINT"},
		"missing config":     {args: []string{"--config", "/nowhere.yaml"}, want: "/nowhere.yaml"},
		"lease of 1.5 s":     {args: []string{"--lease-ttl", "1500ms"}, want: "--lease-ttl"},
		"public url a path":  {args: []string{"--public-url", "https://a/b"}, want: "cannot be below the path /b"},
		"public url a query": {args: []string{"--public-url", "https://a?b"}, want: "--public-url"},
		"public url no host": {args: []string{"--public-url", "a.example:8443"}, want: "--public-url"},
		"proxy by name":      {args: []string{"--trusted-proxies", "10.0.0.0/8,proxy"}, want: "--trusted-proxies"},
		"acme and cert":      {args: []string{"--acme-host", "a.example", "--tls-cert", "x", "--tls-key", "y"}, want: "exclude each other"},
		"acme for localhost": {args: []string{"--acme-host", "localhost"}, want: "--acme-host"},
		"acme mail alone":    {args: []string{"--acme-email", "a@b.example"}, want: "--acme-host"},
		"cert without https": {args: []string{"--https", "", "--tls-cert", "x", "--tls-key", "y"}, want: "--https"},
		"no slots":           {args: []string{"--concurrency", "0"}, want: "--concurrency"},
		"unknown log format": {args: []string{"--log-format", "xml"}, want: "--log-format"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.args = append(s.args, tt.args...)
			s.launch(tt.env...)
			if code := s.waitExit(); code != 1 || !strings.Contains(s.log.String(), tt.want) {
				t.Errorf("got exit code %d and\n%s\nwant 1 and %q", code, s.log, tt.want)
			}
			if _, err := os.Stat(filepath.Join(s.dir, "postgres")); err == nil {
				t.Error("a database was made before the settings were checked")
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
