// Package kubetest starts a real Kubernetes for a test: etcd and API server (Start), controllers too (StartControlled), or a whole node
// that runs Pods (StartNode). The program is compiled from test/kubernetes the first time (scripts/kubernetes), which takes minutes:
// only `make e2e` uses it.
package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// readyLimit is generous: the machine may be busy.
const readyLimit = 2 * time.Minute

// Cluster is a running Kubernetes.
type Cluster struct {
	Kubeconfig string // file of an admin's, with everything in it

	t   testing.TB
	bin string // folder of the program
	dir string // of logs and certificates
	pki *pki
	url string // of the API server
}

// Rest is how client-go reaches the cluster, as an admin.
func (c *Cluster) Rest() *rest.Config {
	return &rest.Config{Host: c.url, QPS: 1000, Burst: 2000, TLSClientConfig: rest.TLSClientConfig{
		CAFile: c.pki.file("ca.crt"), CertFile: c.pki.file("admin.crt"), KeyFile: c.pki.file("admin.key"),
	}}
}

// Start starts etcd and an API server, without anything that would run a Pod. It takes seconds and needs no root.
func Start(t testing.TB) *Cluster {
	t.Helper()
	// Nobody makes ServiceAccounts here.
	return start(t, "--disable-admission-plugins=ServiceAccount")
}

// StartControlled is Start with the controllers of a cluster too: a Deployment makes Pods, a namespace has its ServiceAccount, and what
// is deleted takes along what it owns. Nothing schedules or runs Pods.
func StartControlled(t testing.TB) *Cluster {
	t.Helper()
	c := start(t)
	c.run("kube-controller-manager", "--kubeconfig="+c.Kubeconfig, "--authentication-kubeconfig="+c.Kubeconfig, "--authorization-kubeconfig="+c.Kubeconfig,
		"--service-account-private-key-file="+c.pki.file("sa.key"), "--root-ca-file="+c.pki.file("ca.crt"), "--use-service-account-credentials=false",
		"--leader-elect=false", "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", freePort(t)), "--kube-api-qps=500", "--kube-api-burst=1000",
		"--flex-volume-plugin-dir="+filepath.Join(c.dir, "plugins"))
	client := c.client()
	c.await("the controllers", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return c
}

// start starts etcd, and an API server with the arguments.
func start(t testing.TB, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, bin: programs(t), dir: folder(t)}
	port, client, peer := freePort(t), freePort(t), freePort(t)
	c.url = fmt.Sprintf("https://127.0.0.1:%d", port)
	c.must(c.certify("127.0.0.1"))
	c.run("etcd", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		fmt.Sprintf("--listen-client-urls=http://127.0.0.1:%d", client), fmt.Sprintf("--advertise-client-urls=http://127.0.0.1:%d", client),
		fmt.Sprintf("--listen-peer-urls=http://127.0.0.1:%d", peer), fmt.Sprintf("--initial-advertise-peer-urls=http://127.0.0.1:%d", peer),
		fmt.Sprintf("--initial-cluster=default=http://127.0.0.1:%d", peer))
	c.run("kube-apiserver", append([]string{
		fmt.Sprintf("--etcd-servers=http://127.0.0.1:%d", client), "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port), "--service-cluster-ip-range=10.0.0.0/24", "--client-ca-file=" + c.pki.file("ca.crt"),
		"--tls-cert-file=" + c.pki.file("apiserver.crt"), "--tls-private-key-file=" + c.pki.file("apiserver.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.pki.file("sa.pub"),
		"--service-account-signing-key-file=" + c.pki.file("sa.key"), "--authorization-mode=RBAC", "--endpoint-reconciler-type=none",
	}, args...)...)
	c.awaitReady()
	return c
}

// certify makes the certificates of a cluster whose API server has the address.
func (c *Cluster) certify(ip string) (err error) {
	if c.pki, err = newPKI(filepath.Join(c.dir, "pki"), ip); err == nil {
		c.Kubeconfig, err = c.pki.kubeconfig("admin", c.url)
	}
	return err
}

// run starts a part of Kubernetes, which ends with the test.
func (c *Cluster) run(part string, args ...string) {
	c.t.Helper()
	log, err := os.Create(filepath.Join(c.dir, part+".log"))
	c.must(err)
	cmd := exec.Command(filepath.Join(c.bin, "kubernetes"), append([]string{part}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir}
	c.must(cmd.Start())
	c.t.Cleanup(func() { // killed: after a joint SIGTERM the API server waits for an etcd that is gone
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
	})
}

// awaitReady waits for the API server.
func (c *Cluster) awaitReady() {
	c.t.Helper()
	client, err := rest.HTTPClientFor(c.Rest())
	c.must(err)
	c.await("the API server", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// await waits until ready returns nil.
func (c *Cluster) await(what string, ready func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), readyLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("kubetest: waited %s for %s: %v\n%s", readyLimit, what, err, c.logs())
		}
	}
}

// logs are the last lines of every part.
func (c *Cluster) logs() string { return tails(filepath.Join(c.dir, "*.log")) }

// tails are the ends of files.
func tails(pattern string) string {
	var out strings.Builder
	files, _ := filepath.Glob(pattern)
	for _, f := range files {
		b, _ := os.ReadFile(f)
		fmt.Fprintf(&out, "== %s\n%s\n", f, b[max(0, len(b)-2000):])
	}
	return out.String()
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("kubetest: %v", err)
	}
}

// programs is the folder of the compiled program and, with "pods", of what else runs Pods.
func programs(t testing.TB, more ...string) string {
	t.Helper()
	dir, err := compiled(more...)
	if err != nil {
		t.Fatalf("kubetest: %v", err)
	}
	return dir
}

func compiled(more ...string) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(self)))
	if _, err := os.Stat(filepath.Join(root, "go.work")); err != nil { // compiled with -trimpath
		out, err := exec.Command("go", "env", "GOWORK").Output()
		if err != nil {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		root = filepath.Dir(strings.TrimSpace(string(out)))
	}
	cmd := exec.Command(filepath.Join(root, "scripts", "kubernetes"), more...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("scripts/kubernetes %s: %w", strings.Join(more, " "), err)
	}
	return strings.TrimSpace(out.String()), nil
}

// folder is a short one: socket paths have little room.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kube")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// freePort is free now. Somebody may take it before it is used: then the start fails, and says so.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
