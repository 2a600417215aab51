package k8s

import (
	"maps"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slim keeps of a Pod what the cache is asked for: ten thousand of them are to fit into little memory. Who needs more asks the cluster.
func slim(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	m := pod.ObjectMeta
	kept := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: m.Name, Namespace: same(m.Namespace), UID: m.UID, ResourceVersion: m.ResourceVersion,
			CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, Labels: ours(m.Labels), Annotations: ours(m.Annotations),
		},
		Spec: corev1.PodSpec{NodeName: same(pod.Spec.NodeName), SchedulingGates: pod.Spec.SchedulingGates},
		Status: corev1.PodStatus{
			Phase: corev1.PodPhase(same(string(pod.Status.Phase))), Reason: pod.Status.Reason, Message: pod.Status.Message, StartTime: pod.Status.StartTime,
			Conditions: pod.Status.Conditions, InitContainerStatuses: slimStatuses(pod.Status.InitContainerStatuses), ContainerStatuses: slimStatuses(pod.Status.ContainerStatuses),
		},
	}
	for _, c := range pod.Spec.Containers {
		kept.Spec.Containers = append(kept.Spec.Containers, slimContainer(c))
	}
	return kept, nil
}

// slimContainer keeps what people are told of a container that was not started, or had too little memory.
func slimContainer(c corev1.Container) corev1.Container {
	kept := corev1.Container{Name: same(c.Name), Image: same(c.Image)}
	if memory, limited := c.Resources.Limits[corev1.ResourceMemory]; limited {
		kept.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: memory}
	}
	return kept
}

func slimStatuses(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(all))
	for _, c := range all {
		kept = append(kept, corev1.ContainerStatus{Name: same(c.Name), Image: same(c.Image), State: c.State, LastTerminationState: c.LastTerminationState})
	}
	return kept
}

// ours are the labels or annotations that no user can set.
func ours(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !strings.HasPrefix(name, Prefix) })
	return kept
}

// same returns the one copy of a text that many Pods have.
func same(text string) string { return unique.Make(text).Value() }
