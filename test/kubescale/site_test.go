package kubescale_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gantry.example/internal/bus"
	"gantry.example/internal/bus/broker"
	"gantry.example/internal/kubetest"
	"gantry.example/internal/natstest"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/k8s"
)

const (
	pool = "kcfg-1"
	// atOnce is how many a dispatcher places at the same time.
	atOnce = 16
	// archiveSize is that of every configuration.
	archiveSize = 4096
	// patience bounds everything that is waited for.
	patience = 10 * time.Minute
)

func archive() []byte { return make([]byte, archiveSize) }

// site is a cluster without nodes, a queue, and a server that grants every claim and has the same configuration for every attempt.
type site struct {
	b         *testing.B
	cluster   *kubetest.Cluster
	namespace string
	nats      *natstest.Server
	bus       *bus.Bus
	api       *httptest.Server
	token     string

	mu    sync.Mutex // guards tasks
	tasks map[string]messages.Task
}

func newSite(b *testing.B) *site {
	b.Helper()
	s := &site{b: b, cluster: kubetest.Start(b), nats: natstest.Start(b), tasks: map[string]messages.Task{}}
	s.namespace = s.newNamespace()
	s.bus = s.nats.Bus(b)
	must(b, s.bus.EnsureTasks(b.Context(), messages.ModeK8s, pool, 1))
	must(b, s.bus.EnsureTaskConsumer(b.Context(), messages.ModeK8s, pool, nil))
	must(b, s.bus.EnsureStatus(b.Context(), 1))
	must(b, s.bus.EnsureDeadLetters(b.Context(), 1))
	s.token = s.nats.Authenticator.Grant(broker.Identity{Kind: broker.KindWorker, Pool: pool, Name: "measured"})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/gantry/v1/claim", s.claim)
	mux.HandleFunc("POST /api/gantry/v1/workers", func(w http.ResponseWriter, _ *http.Request) { answer(w, wire.WorkerOrders{}) })
	mux.HandleFunc("POST /api/gantry/v1/placing", placing)
	mux.HandleFunc("GET /api/gantry/v1/attempts/{id}/configuration", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive()) })
	s.api = httptest.NewUnstartedServer(mux)
	s.api.EnableHTTP2 = true // as the real one
	s.api.StartTLS()
	b.Cleanup(s.api.Close)
	return s
}

// newNamespace makes a namespace like that of the shipped manifest.
func (s *site) newNamespace() string {
	client, err := kubernetes.NewForConfig(s.cluster.Rest())
	must(s.b, err)
	name := messages.NewID("runs-")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	_, err = client.CoreV1().Namespaces().Create(s.b.Context(), namespace, metav1.CreateOptions{})
	must(s.b, err)
	return name
}

// job is of a process in the namespace.
func (s *site) job(namespace string) job {
	return job{
		Kubeconfig: s.cluster.Kubeconfig, Calls: k8s.CallsPerSecond,
		Pods: k8s.Config{Pool: pool, Namespace: namespace, RunnerImage: "gantry-runner:1", Template: messages.PodTemplate{Image: "terraform:1"}, Limit: 100_000},
		API:  s.api.URL, NATS: s.nats.ClientURL(), Token: s.token,
		CACert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.api.Certificate().Raw}),
	}
}

// bare makes Pods by a bare loop in a namespace that no dispatcher looks at.
func (s *site) bare(namespace string, calls, count int, every time.Duration, finish bool) report {
	j := s.job(namespace)
	j.Calls, j.Count, j.Every, j.Finish = calls, count, every, finish
	return start(s.b, "bare", j).end()
}

// publish queues a task, and returns the id of the attempt that it will be claimed as.
func (s *site) publish(ctx context.Context) (string, error) {
	task := messages.Task{
		V: messages.Version, ID: messages.NewID("task-"), RunID: messages.NewID("run-"), WorkspaceID: messages.NewID("ws-"),
		OrganizationID: messages.NewID("org-"), Phase: messages.PhasePlan, Mode: messages.ModeK8s, Pool: pool, Exclusive: true, QueuedAt: time.Now().UTC(),
	}
	s.mu.Lock()
	s.tasks[task.ID] = task
	s.mu.Unlock()
	return attemptOf(task), s.bus.PublishTask(ctx, task, task.ID, nil)
}

func attemptOf(task messages.Task) string { return "att-" + strings.TrimPrefix(task.ID, "task-") }

func (s *site) claim(w http.ResponseWriter, r *http.Request) {
	var req wire.ClaimRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	task := s.tasks[req.TaskID]
	s.mu.Unlock()
	id := attemptOf(task)
	answer(w, wire.Claim{AttemptID: id, Number: 1, Epoch: 1, Token: "token-" + id, Inputs: wire.Inputs{
		AttemptID: id, TaskID: task.ID, RunID: task.RunID, WorkspaceID: task.WorkspaceID, OrganizationID: task.OrganizationID,
		Phase: task.Phase, Pool: task.Pool, Exclusive: true, Epoch: 1,
	}})
}

// placing says that all have begun.
func placing(w http.ResponseWriter, r *http.Request) {
	var req wire.PlacingRequest
	var out wire.PlacingAnswer
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, p := range req.Attempts {
		out.Started = append(out.Started, p.AttemptID)
	}
	answer(w, out)
}

func answer(w http.ResponseWriter, body any) { _ = json.NewEncoder(w).Encode(body) }

// spent is the processor time of the cluster's parts so far, in seconds; 0 where there is no /proc.
func spent() (seconds float64) {
	const ticksPerSecond = 100
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if !strings.Contains(string(text), "(kubernetes)") || len(f) < 13 || f[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		user, _ := strconv.ParseFloat(f[11], 64)
		system, _ := strconv.ParseFloat(f[12], 64)
		seconds += (user + system) / ticksPerSecond
	}
	return seconds
}
