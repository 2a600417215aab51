package kubetest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

//go:embed node.sh
var nodeScript []byte

// Node is a cluster with one node, which runs Pods. Pods and node reach the machine of the test at Host.
type Node struct {
	*Cluster
	Host     string
	Registry string // host and port of an image registry that has no image

	pid int // of the first process of its namespaces
}

// CannotRunPods says why no node can be started here, or is empty.
func CannotRunPods(t testing.TB) string {
	t.Helper()
	switch {
	case runtime.GOOS != "linux":
		return "a node needs Linux"
	case os.Geteuid() != 0:
		return "a node needs root: run make e2e as root, or in CI, to test real Pods"
	}
	for _, tool := range []string{"unshare", "nsenter", "ip", "apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "a node needs the program " + tool
		}
	}
	if out, err := exec.Command("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("a node needs namespaces of its own: %v: %s", err, out)
	}
	probe := fmt.Sprintf("/sys/fs/cgroup/memory/gantry-probe-%d", os.Getpid())
	if err := os.Mkdir(probe, 0o755); err != nil {
		return "a node needs cgroups (v1) that it may write: " + err.Error()
	}
	if err := os.Remove(probe); err != nil {
		return err.Error()
	}
	if _, err := compiled("pods"); err != nil {
		return "a node needs containerd out of Debian's packages: " + err.Error()
	}
	return ""
}

// StartNode starts a whole Kubernetes with the images, in namespaces of its own: nothing of it is left when the test ends.
func StartNode(t testing.TB, images ...Image) *Node {
	t.Helper()
	c := &Cluster{t: t, bin: programs(t, "pods"), dir: folder(t)}
	n := &Node{Cluster: c}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logs of Pods:\n%s", tails(filepath.Join(c.dir, "podlogs", "*", "*", "*.log")))
		}
	})
	number := n.enter(images)
	n.Host = fmt.Sprintf("10.88.%d.254", number)
	n.registry()
	c.awaitReady()
	c.must(os.WriteFile(filepath.Join(c.dir, "go"), nil, 0o600))
	client, err := kubernetes.NewForConfig(c.Rest())
	c.must(err)
	c.await("the node", func(ctx context.Context) error {
		node, err := client.CoreV1().Nodes().Get(ctx, "node1", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("it is not ready")
	})
	return n
}

// enter starts node.sh in its namespaces and connects them with the machine. It returns the number in the cluster's addresses.
func (n *Node) enter(images []Image) int {
	n.t.Helper()
	for number := 1; number < 250; number++ {
		link := fmt.Sprintf("gantry-k%d", number)
		if exec.Command("ip", "link", "show", link).Run() == nil {
			continue // another cluster's
		}
		ip, pods := fmt.Sprintf("10.88.%d.1", number), fmt.Sprintf("10.89.%d.0/24", number)
		n.url = "https://" + ip
		n.must(n.certify(ip))
		for _, part := range []string{"manager", "scheduler", "kubelet"} {
			_, err := n.pki.kubeconfig(part, n.url)
			n.must(err)
		}
		n.must(os.MkdirAll(filepath.Join(n.dir, "images"), 0o700))
		for i, image := range append(images, pause(n.t)) {
			n.must(image.write(filepath.Join(n.dir, "images", fmt.Sprintf("%d.tar", i))))
		}
		script := filepath.Join(n.dir, "node.sh")
		n.must(os.WriteFile(script, nodeScript, 0o700))
		cgroup := fmt.Sprintf("/gantry-test-%d", number)
		n.pid = n.unshare(script, cgroup, "CGROUP="+cgroup, "IP="+ip, fmt.Sprintf("GATEWAY=10.88.%d.254", number), "PODS="+pods)
		for _, args := range []string{
			fmt.Sprintf("link add %s type veth peer name node0 netns %d", link, n.pid), fmt.Sprintf("addr add 10.88.%d.254/24 dev %s", number, link),
			"link set " + link + " up", "route add " + pods + " via " + ip,
		} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				n.t.Fatalf("kubetest: ip %s: %v: %s", args, err, out)
			}
		}
		return number
	}
	n.t.Fatal("kubetest: no free network for another cluster")
	return 0
}

// unshare runs the script as the first process of new namespaces and returns its id outside of them.
func (n *Node) unshare(script, cgroup string, env ...string) int {
	n.t.Helper()
	log, err := os.Create(filepath.Join(n.dir, "node.log"))
	n.must(err)
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", script)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "BIN="+filepath.Join(n.bin, "kubernetes"), "ROOT="+filepath.Join(n.bin, "root"), "DIR="+n.dir)
	n.must(cmd.Start())
	n.t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it its child, and with that one all of the namespace
		_ = cmd.Wait()
		_ = log.Close()
		n.removeCgroups(cgroup)
	})
	var child int
	n.await("the namespaces", func(context.Context) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		if err == nil {
			_, err = fmt.Sscan(string(b), &child)
		}
		return err
	})
	return child
}

// removeCgroups removes what the kubelet left, children first, as soon as the kernel lets go of it.
func (n *Node) removeCgroups(cgroup string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 50 {
		var left []string
		roots, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup)
		for _, root := range roots {
			_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					left = append(left, path)
				}
				return nil
			})
		}
		if len(left) == 0 {
			return
		}
		for _, path := range slices.Backward(left) {
			_ = os.Remove(path)
		}
		<-tick.C
	}
}

// registry serves Registry, whose port node.sh knows: no other cluster has the address.
func (n *Node) registry() {
	n.t.Helper()
	n.Registry = n.Host + ":5000"
	ln, err := (&net.ListenConfig{}).Listen(n.t.Context(), "tcp", n.Registry)
	n.must(err)
	server := &http.Server{ReadHeaderTimeout: readyLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`))
	})}
	go func() { _ = server.Serve(ln) }() // until it is closed
	n.t.Cleanup(func() { _ = server.Close() })
}

// RestartAPIServer kills the API server, which is then started anew, and waits until it answers.
func (n *Node) RestartAPIServer() {
	n.t.Helper()
	pid, err := os.ReadFile(filepath.Join(n.dir, "kube-apiserver.pid"))
	n.must(err)
	out, err := exec.Command("nsenter", "-t", strconv.Itoa(n.pid), "-p", "-m", "kill", "-KILL", strings.TrimSpace(string(pid))).CombinedOutput()
	if err != nil {
		n.t.Fatalf("kubetest: kill the API server: %v: %s", err, out)
	}
	n.awaitReady()
}
