package k8s

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// runAs is who a runner is unless its Pod says otherwise: nobody in particular.
const runAs = 65532

// Grace periods: between the request to stop and the kill. An apply has its state to save.
const (
	gracePlan  int64 = 120
	graceApply int64 = 900
)

// Build makes the Pod of an attempt: the same one whenever it is asked, so that whoever finds it can tell. It holds no secret.
func Build(cfg Config, a executor.Attempt) (*corev1.Pod, error) {
	in := a.Inputs
	template := in.Execution.PodTemplate
	if template == nil {
		template = &messages.PodTemplate{}
	}
	image := cmp.Or(template.Image, cfg.Template.Image)
	if image == "" {
		return nil, fmt.Errorf("pod_template.image: neither the workspace nor the k8s config %s says which image to run", cfg.Pool)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: PodName(a.AttemptID), Namespace: cmp.Or(in.Execution.Namespace, cfg.Namespace),
			Labels: map[string]string{
				LabelManagedBy: ManagedBy, LabelComponent: ComponentRunner, LabelPool: in.Pool, LabelAttempt: a.AttemptID, LabelTask: in.TaskID,
				LabelRun: in.RunID, LabelWorkspace: in.WorkspaceID, LabelTenant: in.OrganizationID, LabelPhase: string(in.Phase),
			},
			Annotations: map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"},
		},
		Spec: podSpec(cfg, a, image),
	}
	if in.Traceparent != "" {
		pod.Annotations[AnnotationTrace] = in.Traceparent
	}
	for _, name := range template.ImagePullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	pod.Spec.ServiceAccountName = cmp.Or(template.ServiceAccount, cfg.Template.ServiceAccount)
	resources := cmp.Or(template.Resources, cfg.Template.Resources)
	if resources != nil {
		want, err := quantities(*resources)
		if err != nil {
			return nil, err
		}
		pod.Spec.Containers[0].Resources = want
	}
	sum, err := json.Marshal(pod.Spec)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(sum)
	pod.Annotations[AnnotationSpecHash] = hex.EncodeToString(hash[:])
	return pod, nil
}

func podSpec(cfg Config, a executor.Attempt, image string) corev1.PodSpec {
	grace := gracePlan
	if a.Inputs.Phase == messages.PhaseApply {
		grace = graceApply
	}
	secure := &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	program := corev1.VolumeMount{Name: VolumeProgram, MountPath: PathProgram}
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: &grace, SchedulingGates: []corev1.PodSchedulingGate{{Name: Gate}},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(runAs)), RunAsGroup: new(int64(runAs)), FSGroup: new(int64(runAs)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{{
			Name: ContainerProgram, Image: cfg.RunnerImage, Command: []string{"gantry", "runner", "--install", PathProgram},
			SecurityContext: secure, VolumeMounts: []corev1.VolumeMount{program},
		}},
		Containers: []corev1.Container{{
			Name: ContainerRunner, Image: image, Command: []string{PathProgram + "/gantry", "runner", "--assignment", FileAssignment, "--termination", FileTermination},
			WorkingDir: PathWork, SecurityContext: secure,
			VolumeMounts: []corev1.VolumeMount{
				{Name: VolumeProgram, MountPath: PathProgram, ReadOnly: true}, {Name: VolumeInputs, MountPath: PathInputs, ReadOnly: true},
				{Name: VolumeAssignment, MountPath: PathAssignment, ReadOnly: true}, {Name: VolumeWork, MountPath: PathWork}, {Name: VolumeTmp, MountPath: PathTmp},
			},
		}},
		Volumes: volumes(PodName(a.AttemptID)),
	}
}

// volumes are ours, with the ConfigMap and the Secret of that name.
func volumes(name string) []corev1.Volume {
	empty := func() corev1.VolumeSource { return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}} }
	return []corev1.Volume{
		{Name: VolumeProgram, VolumeSource: empty()}, {Name: VolumeWork, VolumeSource: empty()}, {Name: VolumeTmp, VolumeSource: empty()},
		{Name: VolumeInputs, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}},
		{Name: VolumeAssignment, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(int32(0o440))}}},
	}
}

// quantities parses what a template says about resources.
func quantities(r messages.Resources) (corev1.ResourceRequirements, error) {
	var out corev1.ResourceRequirements
	parse := func(field string, from map[string]string) (corev1.ResourceList, error) {
		list := corev1.ResourceList{}
		for name, text := range from {
			q, err := resource.ParseQuantity(text)
			if err != nil {
				return nil, fmt.Errorf("pod_template.resources.%s.%s: %q is no quantity", field, name, text)
			}
			list[corev1.ResourceName(name)] = q
		}
		return list, nil
	}
	var err error
	if out.Requests, err = parse("requests", r.Requests); err != nil {
		return out, err
	}
	out.Limits, err = parse("limits", r.Limits)
	return out, err
}
