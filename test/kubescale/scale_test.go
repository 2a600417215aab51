// Package kubescale_test measures what many Pods cost a dispatcher: its executor on a real API server, with kubelets that only say that
// Pods ran. It is a benchmark, so that nobody waits for it who does not ask: see docs/kubernetes-performance.md.
package kubescale_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"gantry.example/internal/kubetest"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// atOnce is how many a dispatcher places at the same time.
const atOnce = 16

// archives gives every attempt the same small configuration.
type archives struct{}

func (archives) Configuration(context.Context, executor.Attempt, int64) ([]byte, string, error) {
	return make([]byte, 4096), "digest", nil
}

// BenchmarkPods places Pods as fast as it goes, and waits until the end of each is reported.
func BenchmarkPods(b *testing.B) {
	for _, pods := range []int{300, 2000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			cluster := kubetest.Start(b)
			for b.Loop() {
				measure(b, cluster.Rest(), pods)
			}
		})
	}
}

func measure(b *testing.B, how *rest.Config, pods int) {
	namespace := messages.NewID("runs-")
	makeNamespace(b, how, namespace)
	newNode(b, how, namespace, 16)
	before := heap()
	reached, err := k8s.Connect(&rest.Config{Host: how.Host, TLSClientConfig: how.TLSClientConfig}, k8s.CallsPerSecond)
	if err != nil {
		b.Fatal(err)
	}
	e, err := k8s.New(b.Context(), k8s.ExecutorConfig{
		Config:  k8s.Config{Pool: messages.LocalPool, Namespace: namespace, RunnerImage: "gantry-runner:1", Template: messages.PodTemplate{Image: "terraform:1"}, Limit: pods},
		Cluster: reached, Configurations: archives{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	reported := make(chan struct{}, pods)
	go func() { // ends with ctx
		_ = e.Watch(ctx, func(_ context.Context, x executor.Exit) error {
			if x.Code != executor.CodeDelivered {
				b.Errorf("attempt %s: got code %d, want it delivered", x.AttemptID, x.Code)
			}
			reported <- struct{}{}
			return nil
		})
	}()
	began := time.Now()
	took := place(ctx, b, e, pods)
	placed := time.Since(began)
	for range pods {
		select {
		case <-reported:
		case <-time.After(10 * time.Minute):
			b.Fatal("not all ends were reported")
		}
	}
	drained := time.Since(began)
	slices.Sort(took)
	b.ReportMetric(float64(pods)/placed.Minutes(), "Pods/min")
	b.ReportMetric(drained.Seconds(), "drain-s")
	b.ReportMetric(took[len(took)/2].Seconds()*1000, "place-median-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1000, "place-p99-ms")
	calls, throttled := asked(b, e)
	b.ReportMetric(calls/float64(pods), "writes/Pod")
	b.ReportMetric(throttled/float64(pods)*1000, "throttled-ms/Pod")
	b.ReportMetric(float64(heap()-before)/1e6, "heap-MB")
}

// place starts all attempts and returns how long each took until its Pod may be scheduled.
func place(ctx context.Context, b *testing.B, e *k8s.Executor, pods int) []time.Duration {
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		took  []time.Duration
	)
	slots := make(chan struct{}, atOnce)
	for range pods {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			if err := e.StartPlan(ctx, executortest.NewAttempt(messages.PhasePlan)); err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		})
	}
	group.Wait()
	return took
}

// asked is how many writes the executor made, and how many seconds calls waited for their turn in it.
func asked(b *testing.B, c prometheus.Collector) (writes, throttled float64) {
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "gantry_dispatcher_throttled_seconds_total":
				throttled += m.GetCounter().GetValue()
			case "gantry_dispatcher_api_calls_total":
				for _, l := range m.GetLabel() {
					if l.GetName() == "method" && l.GetValue() != "GET" {
						writes += m.GetCounter().GetValue()
					}
				}
			}
		}
	}
	return writes, throttled
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func makeNamespace(b *testing.B, how *rest.Config, name string) {
	client, err := kubernetes.NewForConfig(how)
	if err != nil {
		b.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if _, err := client.CoreV1().Namespaces().Create(b.Context(), namespace, metav1.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
}
