package k8s

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

// runAs is who a runner is unless its Pod says otherwise: nobody in particular.
const runAs = 65532

// Grace periods: between the request to stop and the kill. An apply has its state to save.
const (
	gracePlan  int64 = 120
	graceApply int64 = 900
)

// deadlineSlack is how long after the limit of its phase and its grace a Pod is ended by the cluster. Only a backstop: whoever
// judges limits is the server, and a Pod that Kubernetes ended tells less.
const deadlineSlack = 2 * time.Minute

// Sizes of what we mount.
const (
	sizeProgram = "512Mi"
	sizeTmp     = "2Gi"
	sizeWork    = "10Gi"
)

// Build makes the Pod of an attempt: the same one whenever it is asked, so that whoever finds it can tell. It holds no secret.
func Build(cfg Config, a executor.Attempt) (*corev1.Pod, error) {
	in := a.Inputs
	template := cmp.Or(in.Execution.PodTemplate, &cfg.Template)
	if err := template.Validate("pod_template"); err != nil {
		return nil, err
	}
	image := cmp.Or(template.Image, cfg.Template.Image)
	if image == "" {
		return nil, fmt.Errorf("pod_template.image: neither the workspace nor the k8s config %s says which image to run", cfg.Pool)
	}
	hash, err := specHash(a)
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: PodName(a.AttemptID), Namespace: cmp.Or(in.Execution.Namespace, cfg.Namespace),
			Labels: maps.Clone(template.Labels), Annotations: maps.Clone(template.Annotations),
		},
		Spec: podSpec(cfg, a, image),
	}
	if err := apply(*template, &pod.Spec, in.Phase); err != nil {
		return nil, err
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	maps.Copy(pod.Labels, map[string]string{
		LabelManagedBy: ManagedBy, LabelComponent: ComponentRunner, LabelPool: in.Pool, LabelAttempt: a.AttemptID, LabelTask: in.TaskID,
		LabelRun: in.RunID, LabelWorkspace: in.WorkspaceID, LabelTenant: in.OrganizationID, LabelPhase: string(in.Phase),
	})
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	maps.Copy(pod.Annotations, map[string]string{
		"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true", AnnotationSpecHash: hash,
	})
	if in.Traceparent != "" {
		pod.Annotations[AnnotationTrace] = in.Traceparent
	}
	return pod, secured(pod)
}

// specHash is of what the attempt is, not of the Pod: a dispatcher of another release, or after its config was changed, builds
// another Pod of the same attempt and finds this one to be it.
func specHash(a executor.Attempt) (string, error) {
	in := a.Inputs
	b, err := json.Marshal([]any{a.AttemptID, in.TaskID, in.RunID, in.WorkspaceID, in.Pool, in.Phase, in.Epoch, in.Execution})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func podSpec(cfg Config, a executor.Attempt, image string) corev1.PodSpec {
	grace := gracePlan
	if a.Inputs.Phase == messages.PhaseApply {
		grace = graceApply
	}
	program := corev1.VolumeMount{Name: VolumeProgram, MountPath: PathProgram}
	return corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false),
		TerminationGracePeriodSeconds: &grace, SchedulingGates: []corev1.PodSchedulingGate{{Name: Gate}},
		ActiveDeadlineSeconds: deadline(a.Inputs.Execution.Timeouts, a.Inputs.Phase, grace),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(runAs)), RunAsGroup: new(int64(runAs)), FSGroup: new(int64(runAs)),
			FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch),
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		InitContainers: []corev1.Container{{
			Name: ContainerProgram, Image: cfg.RunnerImage, Command: []string{runner.Program, "--install", PathProgram},
			SecurityContext: confined(), VolumeMounts: []corev1.VolumeMount{program}, Resources: programResources(),
		}},
		Containers: []corev1.Container{{
			Name: ContainerRunner, Image: image, Command: []string{PathProgram + "/" + runner.Program, "--assignment", FileAssignment, "--termination", FileTermination},
			WorkingDir: PathWork, SecurityContext: confined(), Env: ownEnv(), TerminationMessagePath: FileTermination,
			VolumeMounts: []corev1.VolumeMount{
				{Name: VolumeProgram, MountPath: PathProgram, ReadOnly: true}, {Name: VolumeInputs, MountPath: PathInputs, ReadOnly: true},
				{Name: VolumeAssignment, MountPath: PathAssignment, ReadOnly: true}, {Name: VolumeWork, MountPath: PathWork}, {Name: VolumeTmp, MountPath: PathTmp},
			},
		}},
		Volumes: volumes(PodName(a.AttemptID)),
	}
}

// deadline is nil where the document says no limit of the phase: the server has one of its own then, which it may change.
func deadline(limits messages.Timeouts, phase messages.Phase, grace int64) *int64 {
	text := limits.Plan
	if phase == messages.PhaseApply {
		text = limits.Apply
	}
	limit, err := time.ParseDuration(string(text))
	if err != nil || limit <= 0 {
		return nil
	}
	return new(int64((limit+deadlineSlack)/time.Second) + grace)
}

// ownEnv has no secrets: those are in files.
func ownEnv() []corev1.EnvVar {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	return []corev1.EnvVar{field("GANTRY_POD_UID", "metadata.uid"), field("GANTRY_NODE_NAME", "spec.nodeName"), {Name: "HOME", Value: PathTmp}, {Name: "TMPDIR", Value: PathTmp}}
}

// volumes are ours, with the ConfigMap and the Secret of that name.
func volumes(name string) []corev1.Volume {
	empty := func(limit string) corev1.VolumeSource {
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse(limit))}}
	}
	return []corev1.Volume{
		{Name: VolumeProgram, VolumeSource: empty(sizeProgram)}, {Name: VolumeWork, VolumeSource: empty(sizeWork)}, {Name: VolumeTmp, VolumeSource: empty(sizeTmp)},
		{Name: VolumeInputs, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}},
		{Name: VolumeAssignment, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(int32(0o440))}}},
	}
}

func confined() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true), Privileged: new(false),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
}

// secured asserts once more, on the finished Pod, what no template may take away. It can only fail by a mistake in this package.
func secured(pod *corev1.Pod) error {
	s := pod.Spec
	bad := s.HostNetwork || s.HostPID || s.HostIPC || s.NodeName != "" || s.RestartPolicy != corev1.RestartPolicyNever || s.SecurityContext == nil ||
		s.SecurityContext.RunAsNonRoot == nil || !*s.SecurityContext.RunAsNonRoot || s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken ||
		s.EnableServiceLinks == nil || *s.EnableServiceLinks || len(s.Containers) != 1 || len(s.InitContainers) != 1 || len(s.EphemeralContainers) != 0
	bad = bad || slices.ContainsFunc(s.Volumes, func(v corev1.Volume) bool { return v.HostPath != nil })
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		sc := c.SecurityContext
		bad = bad || sc == nil || *sc.AllowPrivilegeEscalation || *sc.Privileged || !*sc.ReadOnlyRootFilesystem || len(sc.Capabilities.Drop) != 1 || len(sc.Capabilities.Add) != 0
	}
	if bad {
		return fmt.Errorf("pod %s would not be confined as every Pod of ours is: this is a mistake in Gantry", pod.Name)
	}
	return nil
}
