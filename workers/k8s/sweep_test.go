package k8s_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// TestReasonOutlivesItsLeader: why a Pod was deleted before it began is reported by whoever leads when it is gone. Nobody asks for its
// end at once, because a node may have it by then.
func TestReasonOutlivesItsLeader(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	n := &node{t: t, client: client} // without a kubelet
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "stuck", Namespace: "runs", UID: "uid-stuck", CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Hour)),
		Labels: map[string]string{k8s.LabelPool: "local", k8s.LabelAttempt: "att-stuck"},
	}}
	if err := client.Tracker().Add(pod); err != nil {
		t.Fatal(err)
	}
	next := n.open(t) // judges nothing, and leads too, as one does that the first has lost the lead to
	t.Cleanup(func() { _ = next.Close() })
	cfg := n.config(t)
	want := k8s.Verdict{Kind: k8s.Failed, Class: "config.image", Message: "There is no such image."}
	cfg.Judge = func(k8s.Evidence) k8s.Verdict { return want }
	first, err := k8s.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	told := make(chan executor.Exit, 1)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = next.(executor.Watcher).Watch(ctx, func(_ context.Context, x executor.Exit) error {
			told <- x
			return nil
		})
	}()
	executortest.Wait(t, "a report", func() bool { return len(told) > 0 })
	if got := <-told; got.AttemptID != "att-stuck" || got.Message != want.Message || !got.Final || !got.NotBegun {
		t.Errorf("got %+v, want the reason of the first, and that another attempt would end the same way", got)
	}
	stop()
	<-done
	for _, action := range client.Actions() {
		if d, ok := action.(clienttesting.DeleteActionImpl); ok && d.DeleteOptions.GracePeriodSeconds != nil {
			t.Errorf("got the Pod deleted with a grace of %d s, want its own", *d.DeleteOptions.GracePeriodSeconds)
		}
	}
}

// TestMostPodsKept: of more Pods that are over than are kept, the oldest go, of whoever has most of them.
func TestMostPodsKept(t *testing.T) {
	t.Parallel()
	n := &node{t: t, client: fake.NewClientset()}
	const most, tooMany = 1000, 3
	now := time.Now().UTC()
	keep := func(organization string, i int) {
		pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}, ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("%s-%04d", organization, i), Namespace: "runs",
			Labels:      map[string]string{k8s.LabelPool: "local", k8s.LabelAttempt: fmt.Sprintf("att-%s-%d", organization, i), k8s.LabelTenant: organization},
			Annotations: map[string]string{k8s.AnnotationReported: now.Add(-time.Duration(i) * time.Second).Format(time.RFC3339)},
		}}
		if err := n.client.(*fake.Clientset).Tracker().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	for i := range most {
		keep("busy", i)
	}
	for i := range tooMany {
		keep("quiet", 1500+i) // older than all others
	}
	e := n.open(t)
	t.Cleanup(func() { _ = e.Close() })
	names := func() map[string]bool {
		pods, err := n.client.CoreV1().Pods("runs").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]bool{}
		for _, pod := range pods.Items {
			out[pod.Name] = true
		}
		return out
	}
	executortest.Wait(t, "the end of what is too many", func() bool { return len(names()) == most })
	left := names()
	for i := range tooMany {
		if name := fmt.Sprintf("quiet-%04d", 1500+i); !left[name] {
			t.Errorf("Pod %s of the organization with few Pods was deleted", name)
		}
		if name := fmt.Sprintf("busy-%04d", most-1-i); left[name] {
			t.Errorf("Pod %s is left, one of the oldest of the organization with most Pods", name)
		}
	}
}
