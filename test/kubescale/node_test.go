package kubescale_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"gantry.example/workers/k8s"
	"gantry.example/workers/runner"
)

// node stands for scheduler and kubelets of a namespace: every Pod without gates runs, and ends delivered at once, in two writes.
type node struct {
	client  kubernetes.Interface
	message string
	queue   chan *corev1.Pod
	wg      sync.WaitGroup

	mu   sync.Mutex
	seen map[types.UID]bool
	errs []error
}

// newNode works with that many hands, until the benchmark ends.
func newNode(b *testing.B, how *rest.Config, namespace string, hands int) *node {
	b.Helper()
	client, err := kubernetes.NewForConfig(how)
	if err != nil {
		b.Fatal(err)
	}
	message, err := json.Marshal(runner.Termination{Delivered: true})
	if err != nil {
		b.Fatal(err)
	}
	n := &node{client: client, message: string(message), queue: make(chan *corev1.Pod, 100_000), seen: map[types.UID]bool{}}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: n.look, UpdateFunc: func(_, o any) { n.look(o) },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for range hands {
		n.wg.Go(func() {
			for {
				select {
				case pod := <-n.queue:
					n.run(ctx, pod)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	b.Cleanup(func() {
		stop()
		factory.Shutdown()
		n.wg.Wait()
		if err := errors.Join(n.errs...); err != nil {
			b.Error(err)
		}
	})
	return n
}

func (n *node) look(o any) {
	pod := o.(*corev1.Pod)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(pod.Spec.SchedulingGates) == 0 && !n.seen[pod.UID] {
		n.seen[pod.UID] = true
		n.queue <- pod
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
