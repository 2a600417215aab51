package k8s_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

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
