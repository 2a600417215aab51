package kubescale_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/executor/executortest"
	"gantry.example/workers/k8s"
)

// BenchmarkCache starts a dispatcher where thousands of Pods of its pool run already, and measures its process.
func BenchmarkCache(b *testing.B) {
	pods := number(b, "CACHED", 10_000)
	for b.Loop() {
		s := newSite(b)
		none := start(b, "dispatcher", s.job(s.namespace)).end()
		fill(s, pods)
		began := time.Now()
		d := start(b, "dispatcher", s.job(s.namespace))
		ready := time.Since(began)
		r := d.end()
		b.ReportMetric(ready.Seconds(), "ready-s")
		b.ReportMetric(r.Resident, "resident-MiB")
		b.ReportMetric(r.Peak, "peak-MiB")
		b.ReportMetric(none.Heap, "empty-heap-MiB")
		b.ReportMetric(none.Resident, "empty-resident-MiB")
		b.ReportMetric((r.Heap-none.Heap)*1024/float64(pods), "heap-KiB/Pod")
		hold(b, "cache-heap-MiB", r.Heap)
		hold(b, "cache-peak-MiB", r.Peak)
	}
}

// fill makes Pods of the pool that run, and look as a kubelet leaves them.
func fill(s *site, pods int) {
	s.b.Helper()
	how := s.cluster.Rest()
	how.QPS, how.Burst, how.ContentType = 10_000, 10_000, runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(how)
	must(s.b, err)
	group, ctx := errgroup.WithContext(s.b.Context())
	group.SetLimit(2 * atOnce)
	cfg := s.job(s.namespace).Pods
	for range pods {
		group.Go(func() error { return running(ctx, client, cfg) })
	}
	must(s.b, group.Wait())
}

func running(ctx context.Context, client kubernetes.Interface, cfg k8s.Config) error {
	a := executortest.NewAttempt(messages.PhaseApply)
	a.Inputs.Pool, a.Inputs.OrganizationID = cfg.Pool, messages.NewID("org-")
	a.Inputs.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	want, err := k8s.Build(cfg, executor.Attempt{Claim: a.Claim})
	if err != nil {
		return err
	}
	want.Spec.SchedulingGates, want.Spec.NodeName = nil, "ip-10-0-142-17.eu-central-1.compute.internal"
	pod, err := client.CoreV1().Pods(want.Namespace).Create(ctx, want, metav1.CreateOptions{FieldManager: k8s.ManagedBy})
	if err != nil {
		return err
	}
	pod.Status = kubeletStatus(pod)
	_, err = client.CoreV1().Pods(want.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{FieldManager: "kubelet"})
	return err
}

// kubeletStatus is what a kubelet says of a Pod of ours that runs.
func kubeletStatus(pod *corev1.Pod) corev1.PodStatus {
	now := metav1.Now()
	sum := strings.Repeat("0123456789abcdef", 4)
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: "10.0.142.17", HostIPs: []corev1.HostIP{{IP: "10.0.142.17"}}, PodIP: "10.0.150.201",
		PodIPs: []corev1.PodIP{{IP: "10.0.150.201"}}, StartTime: &now, QOSClass: corev1.PodQOSBurstable, ObservedGeneration: 1,
	}
	for _, c := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: 1})
	}
	of := func(c corev1.Container, state corev1.ContainerState) corev1.ContainerStatus {
		s := corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: "registry.example.com/" + c.Name + "@sha256:" + sum, ContainerID: "containerd://" + sum, State: state, Ready: true,
			Started: new(true), Resources: &c.Resources, AllocatedResources: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
			User: &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: 65532, GID: 65532, SupplementalGroups: []int64{65532}}},
		}
		for _, m := range c.VolumeMounts {
			s.VolumeMounts = append(s.VolumeMounts, corev1.VolumeMountStatus{Name: m.Name, MountPath: m.MountPath, ReadOnly: m.ReadOnly})
		}
		return s
	}
	for _, c := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, of(c, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: "containerd://" + sum,
		}}))
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, of(c, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}))
	}
	return status
}
