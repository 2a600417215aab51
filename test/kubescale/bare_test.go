package kubescale_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"gantry.example/messages"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// loop makes the objects that a dispatcher makes, and does nothing else: no queue, no claims, no cache, no judgement.
type loop struct {
	job
	client kubernetes.Interface
}

// bare makes Pods, as many at once as a dispatcher does.
func bare(ctx context.Context, j job) (work, error) {
	how, err := clientcmd.BuildConfigFromFlags("", j.Kubeconfig)
	if err != nil {
		return work{}, err
	}
	how.QPS, how.Burst, how.ContentType = float32(j.Calls), 2*j.Calls, runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(how)
	if err != nil {
		return work{}, err
	}
	l := loop{job: j, client: client}
	var (
		mu sync.Mutex
		r  report
	)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	began := time.Now()
	pace := time.NewTicker(max(j.Every, 1)) // 1 ns: no pause at all
	defer pace.Stop()
	for range j.Count {
		<-pace.C
		group.Go(func() error {
			took, err := l.one(ctx)
			mu.Lock()
			defer mu.Unlock()
			r.Took = append(r.Took, took)
			return err
		})
	}
	err = group.Wait()
	r.Seconds = time.Since(began).Seconds()
	return work{report: r, count: func() (float64, float64) { return 0, 0 }, close: func() {}}, err
}

// one makes a Pod, and returns how long it took until it could be scheduled.
func (l loop) one(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	want, err := k8s.Build(l.Pods, executortest.NewAttempt(messages.PhasePlan))
	if err != nil {
		return 0, err
	}
	core := l.client.CoreV1()
	pod, err := core.Pods(want.Namespace).Create(ctx, want, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	meta := metav1.ObjectMeta{
		Name: pod.Name, Namespace: pod.Namespace, Labels: pod.Labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
	}
	var both errgroup.Group
	both.Go(func() error {
		inputs := &corev1.ConfigMap{ObjectMeta: meta, BinaryData: map[string][]byte{k8s.KeyConfiguration: archive()}}
		_, err := core.ConfigMaps(pod.Namespace).Create(ctx, inputs, metav1.CreateOptions{})
		return err
	})
	both.Go(func() error {
		secret := &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{k8s.KeyAssignment: make([]byte, 1024)}}
		_, err := core.Secrets(pod.Namespace).Create(ctx, secret, metav1.CreateOptions{})
		return err
	})
	if err := both.Wait(); err != nil {
		return 0, err
	}
	_, err = core.Pods(pod.Namespace).Patch(ctx, pod.Name, types.JSONPatchType, []byte(`[{"op":"remove","path":"/spec/schedulingGates/0"}]`), metav1.PatchOptions{})
	took := time.Since(began)
	if err != nil || !l.Finish {
		return took, err
	}
	note, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{k8s.AnnotationReported: fmt.Sprint(began.Unix())}}})
	if err != nil {
		return took, err
	}
	both.Go(func() error {
		_, err := core.Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, note, metav1.PatchOptions{})
		return err
	})
	both.Go(func() error { return core.Secrets(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}) })
	return took, both.Wait()
}
