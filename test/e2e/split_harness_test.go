package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gantry.example/internal/pgserver"
)

// split is an installation whose parts are processes of their own: three NATS servers, a Postgres, and two of each role.
type split struct {
	t    *testing.T
	bin  string
	dir  string
	ips  []string // of the NATS servers: loopback addresses that nobody else uses, because their ports are the usual ones
	nats map[string]*exec.Cmd
	pg   *pgserver.Server
	home string // of Postgres
	api  *balancer
	runs map[string]*server // by name, like relay-1
}

// splitRoles are the processes and their roles; there are two of each.
func splitRoles() map[string]string {
	return map[string]string{
		"api": "api", "relay": "relay", "logs": "logs", "projector": "projector", "reconciler": "reconciler",
		"house": "observer,intake,keeper", "worker": "worker",
	}
}

func newSplit(t *testing.T) *split {
	t.Helper()
	dir, err := os.MkdirTemp("", "gantry-split-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &split{t: t, bin: binary(t), dir: dir, nats: map[string]*exec.Cmd{}, runs: map[string]*server{}}
	t.Cleanup(s.close)
	net := fmt.Sprintf("127.%d.%d", 2+rand.N(250), rand.N(250))
	args := []string{"admin", "nats-config", "--dir", s.path("cluster"), "--store-dir", s.path("nats")}
	for i := range 3 {
		s.ips = append(s.ips, fmt.Sprintf("%s.%d", net, i+1))
		args = append(args, "--server", s.ips[i])
	}
	if out, err := exec.Command(s.bin, args...).CombinedOutput(); err != nil {
		t.Fatalf("gantry admin nats-config: %v\n%s", err, out)
	}
	buildNATS(t, s.path("nats-server"))
	s.api = newBalancer(t)
	s.preparePostgres()
	for name, roles := range splitRoles() {
		for n := range 2 {
			s.prepare(fmt.Sprintf("%s-%d", name, n+1), roles)
		}
	}
	return s
}

// buildNATS makes a NATS server out of the module that the program embeds.
func buildNATS(t *testing.T, to string) {
	t.Helper()
	build := exec.Command("go", "build", "-o", to, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
}

func (s *split) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// prepare describes one process. What they share is in files that any of them may find missing at its start.
func (s *split) prepare(name, roles string) {
	urls := make([]string, len(s.ips))
	for i, ip := range s.ips {
		urls[i] = "tls://" + ip + ":4222"
	}
	p := &server{t: s.t, bin: s.bin, dir: s.path(name), log: &logBuffer{}}
	p.args = []string{
		"server", "--roles", roles, "--data-dir", p.dir, "--nats-url", strings.Join(urls, ","), "--https", "",
		"--worker-token-file", s.path("worker-token"), "--ca-file", s.path("cluster", "workers", "ca.pem"),
		"--lease-ttl", "3s", "--start-within", "5s", "--republish-after", "2s", "--settle", "6s", "--grace", "10s",
	}
	address := freeAddress(s.t)
	p.args = append(p.args, "--http", address)
	switch roles {
	case "worker":
		p.args = append(p.args, "--address", s.api.url(), "--worker-name", name)
		if os.Geteuid() == 0 { // workers on one machine: each needs user ids that the other does not give out
			first := 2_100_000_000 + 1000*len(s.runs)
			p.args = append(p.args, "--run-as", fmt.Sprintf("%d-%d", first, first+999))
		}
	case "api":
		s.api.add(address)
		p.args = append(p.args, "--public-url", s.api.url())
	}
	if roles != "worker" {
		credentials := "services.json"
		if roles == "api" {
			credentials = "api.json"
		}
		p.args = append(p.args, "--database-url", s.pg.DSN(pgserver.Database), "--encryption-key-file", s.path("key"),
			"--nats-credentials-file", s.path("cluster", "control", credentials))
	}
	s.runs[name] = p
}

// preparePostgres starts a Postgres once, for its address, and stops it again.
func (s *split) preparePostgres() {
	s.home = pgserver.Home(s.dir)
	s.startPostgres()
	s.stopPostgres()
}

func (s *split) startPostgres() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	user, err := pgserver.Unprivileged()
	if err != nil {
		s.t.Fatal(err)
	}
	binaries, err := pgserver.Find(ctx, pgserver.FindConfig{CacheDir: filepath.Join(pgserver.Elsewhere, "cache"), RunAs: user, Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	if s.pg, err = pgserver.Start(ctx, pgserver.Config{Home: s.home, Binaries: binaries, RunAs: user, DieWithParent: true, Log: log}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *split) stopPostgres() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.pg.Stop(ctx); err != nil {
		s.t.Error(err)
	}
}

func (s *split) startNATS(ip string) {
	s.t.Helper()
	cmd := exec.Command(s.path("nats-server"), "-c", s.path("cluster", "servers", ip, "nats.conf"), "-l", s.path("nats-"+ip+".log"))
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.nats[ip] = cmd
}

func (s *split) killNATS(ip string) {
	_ = s.nats[ip].Process.Kill()
	_ = s.nats[ip].Wait()
	delete(s.nats, ip)
}

// leader is the NATS server that leads a stream.
func (s *split) leader(stream string) string {
	s.t.Helper()
	res, err := http.Get("http://" + s.ips[0] + ":8222/jsz?accounts=true&streams=true")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var doc struct {
		Accounts []struct {
			Streams []struct {
				Name    string `json:"name"`
				Cluster struct {
					Leader   string            `json:"leader"`
					Replicas []json.RawMessage `json:"replicas"`
				} `json:"cluster"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		s.t.Fatal(err)
	}
	for _, a := range doc.Accounts {
		for _, d := range a.Streams {
			if d.Name == stream && d.Cluster.Leader != "" {
				if len(d.Cluster.Replicas) != 2 {
					s.t.Errorf("stream %s: got %d replicas beside its leader, want 2", stream, len(d.Cluster.Replicas))
				}
				return d.Cluster.Leader
			}
		}
	}
	s.t.Fatalf("stream %s has no leader: %+v", stream, doc)
	return ""
}

// await waits until the processes have said that they are ready.
func (s *split) await(ready map[string]<-chan bool) {
	s.t.Helper()
	deadline := time.After(2 * time.Minute)
	for name, told := range ready {
		select {
		case ok := <-told:
			if !ok {
				s.t.Fatalf("%s ended before it was ready:\n%s", name, tail(s.runs[name].log.String(), 20))
			}
		case <-deadline:
			s.t.Fatalf("%s is not ready:\n%s", name, tail(s.runs[name].log.String(), 20))
		}
	}
}

func (s *split) close() {
	var ending sync.WaitGroup
	for name, p := range s.runs {
		if p.cmd == nil {
			continue
		}
		ending.Go(p.stop)
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", name, tail(p.log.String(), 25))
		}
	}
	ending.Wait()
	for _, cmd := range s.nats {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	s.stopPostgres()
	if !s.t.Failed() {
		_ = os.RemoveAll(s.dir)
	}
}

// balancer is what stands before the APIs: it passes connections on to one that takes them.
type balancer struct {
	ln net.Listener

	mu   sync.Mutex
	apis []string // guarded by mu
	next int      // guarded by mu
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{ln: ln}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go b.pass(c)
		}
	}()
	return b
}

func (b *balancer) url() string { return "http://" + b.ln.Addr().String() }

func (b *balancer) add(address string) { b.apis = append(b.apis, address) }

func (b *balancer) pass(c net.Conn) {
	defer func() { _ = c.Close() }()
	b.mu.Lock()
	first := b.next
	b.next++
	b.mu.Unlock()
	for i := range b.apis {
		up, err := net.DialTimeout("tcp", b.apis[(first+i)%len(b.apis)], time.Second)
		if err != nil {
			continue
		}
		defer func() { _ = up.Close() }()
		go func() {
			_, _ = io.Copy(up, c)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(c, up)
		return
	}
}
