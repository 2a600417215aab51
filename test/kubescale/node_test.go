package kubescale_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

// node stands for scheduler and kubelets of a namespace: every Pod without gates runs, and ends delivered at once, in two writes. With no
// hands it only looks when Pods can be scheduled.
type node struct {
	site    *site
	client  kubernetes.Interface
	message string
	queue   chan *corev1.Pod
	wg      sync.WaitGroup

	mu       sync.Mutex // guards the rest
	ungated  map[string]time.Time
	reported map[string]bool
	changed  chan struct{}
	errs     []error
}

// newNode works with that many hands, until the benchmark ends.
func newNode(s *site, namespace string, hands int) *node {
	s.b.Helper()
	how := s.cluster.Rest()
	how.ContentType = runtime.ContentTypeProtobuf // as kubelets do
	client, err := kubernetes.NewForConfig(how)
	must(s.b, err)
	message, err := json.Marshal(runner.Termination{Delivered: true})
	must(s.b, err)
	n := &node{
		site: s, client: client, message: string(message), queue: make(chan *corev1.Pod, 100_000),
		ungated: map[string]time.Time{}, reported: map[string]bool{}, changed: make(chan struct{}, 1),
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: n.look, UpdateFunc: func(_, o any) { n.look(o) },
	})
	must(s.b, err)
	ctx, stop := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range hands {
		n.wg.Go(func() { n.work(ctx) })
	}
	s.b.Cleanup(func() {
		stop()
		factory.Shutdown()
		n.wg.Wait()
		if err := errors.Join(n.errs...); err != nil {
			s.b.Error(err)
		}
	})
	return n
}

func (n *node) look(o any) {
	pod := o.(*corev1.Pod)
	id := pod.Labels[k8s.LabelAttempt]
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, seen := n.ungated[id]; !seen && len(pod.Spec.SchedulingGates) == 0 {
		n.ungated[id] = time.Now()
		n.queue <- pod
	}
	if pod.Annotations[k8s.AnnotationReported] != "" && pod.Status.Phase == corev1.PodSucceeded {
		n.reported[id] = true
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// await waits until so many Pods can be scheduled, and the ends of so many were reported.
func (n *node) await(ungated, reported int) {
	n.site.b.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		n.mu.Lock()
		have := fmt.Sprintf("%d Pods without gate, %d reported", len(n.ungated), len(n.reported))
		done := len(n.ungated) >= ungated && len(n.reported) >= reported
		n.mu.Unlock()
		if done {
			return
		}
		select {
		case <-n.changed:
		case <-limit.C:
			n.site.b.Fatalf("waited %s for %d and %d: got %s", patience, ungated, reported, have)
		}
	}
}

// count is how many Pods could be scheduled so far.
func (n *node) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ungated)
}

// seen is when the attempt's Pod could be scheduled.
func (n *node) seen(attemptID string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ungated[attemptID]
}

// work is one hand.
func (n *node) work(ctx context.Context) {
	for {
		select {
		case pod := <-n.queue:
			n.run(ctx, pod)
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) run(ctx context.Context, pod *corev1.Pod) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: n.message, FinishedAt: metav1.NewTime(time.Now())}}
	err := errors.Join(n.set(ctx, pod, corev1.PodRunning, running), n.set(ctx, pod, corev1.PodSucceeded, ended))
	if err != nil && ctx.Err() == nil {
		n.mu.Lock()
		n.errs = append(n.errs, err)
		n.mu.Unlock()
	}
}

func (n *node) set(ctx context.Context, pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"phase": phase, "containerStatuses": []corev1.ContainerStatus{{Name: k8s.ContainerRunner, State: state}},
	}})
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
