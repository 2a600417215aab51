package k8s_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/internal/kubetest"
	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// sameAttemptByTwo: whoever is told of an attempt, and however often at the same time, there is one Pod of it, and it runs once.
func sameAttemptByTwo(t *testing.T, cluster *kubetest.Cluster) {
	n := newNode(t, cluster)
	never := make(chan struct{})
	both := []*k8s.Executor{n.executor(t, n.cluster, nil), n.executor(t, n.cluster, never)}
	told := n.watch(t, both[0], nil)
	attempts := make([]executor.Attempt, 8)
	var placing sync.WaitGroup
	for i := range attempts {
		attempts[i] = executortest.NewAttempt(messages.PhaseApply)
		for _, e := range both {
			for range 2 {
				placing.Go(func() {
					if err := e.StartApply(t.Context(), attempts[i]); err != nil {
						t.Errorf("got %v, want the Pod made or found", err)
					}
				})
			}
		}
	}
	placing.Wait()
	for _, a := range attempts {
		executortest.Wait(t, "the start of "+a.AttemptID, func() bool { return n.starts(t, a.AttemptID) > 0 })
		n.finish(t, a.AttemptID, 0)
	}
	executortest.Wait(t, "all reports", func() bool { return len(told()) >= len(attempts) })
	for _, a := range attempts { // once more, after everything
		for _, e := range both {
			if err := e.StartApply(t.Context(), a); err != nil {
				t.Errorf("got %v, want the Pod found", err)
			}
		}
		if got := n.starts(t, a.AttemptID); got != 1 {
			t.Errorf("attempt %s ran %d times, want once", a.AttemptID, got)
		}
	}
	pods, err := n.client.CoreV1().Pods(n.namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != len(attempts) || len(told()) != len(attempts) {
		t.Errorf("got %d Pods and %d reports, want %d of each", len(pods.Items), len(told()), len(attempts))
	}
	for _, e := range both {
		_ = e.Close()
	}
}

// failoverLimit is what the documentation says, and half of it again because machines that test are busy.
const failoverLimit = 30 * time.Second

// leaderDies: the other dispatcher goes on making Pods at once, leads within 20 s, and reports what nobody has, once.
func leaderDies(t *testing.T, cluster *kubetest.Cluster) {
	n := newNode(t, cluster)
	first, second := newCandidate(t, n, cluster, "first"), newCandidate(t, n, cluster, "second")
	first.stand(t)
	executortest.Wait(t, "a leader", first.leads)
	second.stand(t)
	ended, running := executortest.NewAttempt(messages.PhaseApply), executortest.NewAttempt(messages.PhaseApply)
	for _, a := range []executor.Attempt{ended, running} {
		if err := second.exec.StartApply(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		executortest.Wait(t, "the start of "+a.AttemptID, func() bool { return n.starts(t, a.AttemptID) > 0 })
	}
	n.finish(t, ended.AttemptID, 0)
	name := k8s.PodName(ended.AttemptID)
	executortest.Wait(t, "the leader's report", func() bool {
		pod, err := n.client.CoreV1().Pods(n.namespace).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && pod.Annotations[k8s.AnnotationReported] != ""
	})

	first.die()
	died := time.Now()
	n.finish(t, running.AttemptID, 1)
	meanwhile := executortest.NewAttempt(messages.PhasePlan)
	if err := second.exec.StartPlan(t.Context(), meanwhile); err != nil {
		t.Errorf("got %v, want Pods made while nobody leads", err)
	}
	if second.leads() {
		t.Error("the second leads while the first one's Lease is good")
	}
	limit := time.NewTimer(failoverLimit)
	defer limit.Stop()
	select {
	case <-second.leading:
	case <-limit.C:
		t.Fatalf("nobody leads %s after the leader died", failoverLimit)
	}
	t.Logf("another led %s after the leader had died", time.Since(died).Round(time.Millisecond))
	executortest.Wait(t, "the report of what ended meanwhile", func() bool { return len(second.told()) > 0 })
	if got := append(first.told(), second.told()...); len(got) != 2 || got[0].AttemptID != ended.AttemptID || got[1].AttemptID != running.AttemptID {
		t.Errorf("got reports %+v, want one of each attempt that ended", got)
	}
	for _, a := range []executor.Attempt{ended, running, meanwhile} {
		executortest.Wait(t, "the start of "+a.AttemptID, func() bool { return n.starts(t, a.AttemptID) > 0 })
		if got := n.starts(t, a.AttemptID); got != 1 {
			t.Errorf("attempt %s ran %d times, want once", a.AttemptID, got)
		}
	}
	second.die()
}

// candidate is a dispatcher as far as the cluster sees it.
type candidate struct {
	node    *node
	name    string
	cluster *k8s.Cluster
	exec    *k8s.Executor
	told    func() []executor.Exit
	leading chan struct{}
	stop    context.CancelFunc
	over    chan struct{} // closed when it takes part in no election any more
	cut     atomic.Bool   // nothing of it reaches the API server any more
}

func newCandidate(t *testing.T, n *node, cluster *kubetest.Cluster, name string) *candidate {
	t.Helper()
	c := &candidate{node: n, name: name, leading: make(chan struct{}), over: make(chan struct{})}
	how := cluster.Rest()
	how.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return trip(func(req *http.Request) (*http.Response, error) {
			if c.cut.Load() {
				return nil, errors.New("its process was killed")
			}
			return next.RoundTrip(req)
		})
	})
	var err error
	if c.cluster, err = k8s.Connect(how, k8s.CallsPerSecond); err != nil {
		t.Fatal(err)
	}
	c.exec = n.executor(t, c.cluster, c.leading)
	c.told = n.watch(t, c.exec, nil)
	return c
}

// stand takes part in the election, until it dies.
func (c *candidate) stand(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c.stop = stop
	go func() {
		defer close(c.over)
		if err := c.cluster.Lead(ctx, c.node.config(), c.name, slog.New(slog.NewTextHandler(io.Discard, nil)), func() { close(c.leading) }); err != nil {
			t.Error(err)
		}
	}()
}

func (c *candidate) leads() bool {
	select {
	case <-c.leading:
		return true
	default:
		return false
	}
}

// die ends it as kill -9 would: its Lease stays.
func (c *candidate) die() {
	c.cut.Store(true)
	c.stop()
	_ = c.exec.Close()
	<-c.over
}

// trip is a function that carries requests.
type trip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f trip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
