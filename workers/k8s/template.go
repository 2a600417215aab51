package k8s

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"gantry.example/messages"
)

// Where a token of the ServiceAccount is, if the template asks for one.
const (
	volumeToken = messages.ReservedPodName + "token"
	pathToken   = messages.PodFolder + "/token"
	envToken    = "GANTRY_SERVICE_ACCOUNT_TOKEN_FILE"
)

// defaultExpiration is the life of such a token in seconds; the kubelet renews it long before.
const defaultExpiration = 3600

// apply adds to the Pod what the template, which is valid, says. It only ever adds: what is ours is not its to change.
func apply(t messages.PodTemplate, s *corev1.PodSpec, phase messages.Phase) error {
	c := &s.Containers[0]
	s.ServiceAccountName = t.ServiceAccount
	for _, name := range t.ImagePullSecrets {
		s.ImagePullSecrets = append(s.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	var err error
	if c.Resources, err = resources(t.Resources, phase); err != nil {
		return err
	}
	s.NodeSelector = t.NodeSelector
	if err := convert(t.Tolerations, &s.Tolerations); err != nil {
		return err
	}
	if t.Affinity != nil {
		if err := convert(t.Affinity, &s.Affinity); err != nil {
			return err
		}
	}
	var env []corev1.EnvVar
	if err := convert(t.Env, &env); err != nil {
		return err
	}
	// Of a name that is there twice the last one counts: ours, but for the memory, of which the user may know better.
	c.Env = slices.Concat(memoryEnv(c.Resources), env, c.Env)
	if err := convert(t.EnvFrom, &c.EnvFrom); err != nil {
		return err
	}
	for _, v := range t.Volumes {
		source, err := volumeSource(v)
		if err != nil {
			return err
		}
		s.Volumes = append(s.Volumes, corev1.Volume{Name: v.Name, VolumeSource: source})
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: v.MountPath, SubPath: v.SubPath, ReadOnly: v.ReadOnly})
	}
	if t.ServiceAccountToken != nil {
		addToken(*t.ServiceAccountToken, s)
	}
	return nil
}

// memoryEnv tells the programs, which are of Go, when to tidy up: before the limit at which they are killed. They are several.
func memoryEnv(r corev1.ResourceRequirements) []corev1.EnvVar {
	limit, there := r.Limits[corev1.ResourceMemory]
	if !there {
		return nil
	}
	const percent = 80
	return []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: fmt.Sprint(limit.Value() / 100 * percent)}}
}

// convert goes from our types to Kubernetes' through the JSON they share.
func convert(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func volumeSource(v messages.Volume) (corev1.VolumeSource, error) {
	var out corev1.VolumeSource
	v.Name, v.MountPath, v.SubPath, v.ReadOnly = "", "", "", false // of the mount, not of the source
	err := convert(v, &out)
	return out, err
}

func addToken(t messages.ServiceAccountToken, s *corev1.PodSpec) {
	seconds := t.ExpirationSeconds
	if seconds == 0 {
		seconds = defaultExpiration
	}
	s.Volumes = append(s.Volumes, corev1.Volume{Name: volumeToken, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: t.Audience, ExpirationSeconds: &seconds, Path: "token"}}},
	}}})
	c := &s.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volumeToken, MountPath: pathToken, ReadOnly: true})
	c.Env = append(c.Env, corev1.EnvVar{Name: envToken, Value: pathToken + "/token"})
}

// programResources are for copying a file.
func programResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("256Mi")},
	}
}

// resources are what the user says, and where they say nothing of a resource: a quarter of a CPU, memory that a plan may exceed
// twofold and an apply never (so that a node in need of memory takes others first), and a bounded disk.
func resources(asked *messages.Resources, phase messages.Phase) (corev1.ResourceRequirements, error) {
	if asked == nil {
		asked = &messages.Resources{}
	}
	out := corev1.ResourceRequirements{}
	var err error
	if out.Requests, err = quantities("requests", asked.Requests); err != nil {
		return out, err
	}
	if out.Limits, err = quantities("limits", asked.Limits); err != nil {
		return out, err
	}
	for name, usual := range map[corev1.ResourceName]string{corev1.ResourceCPU: "250m", corev1.ResourceMemory: "512Mi", corev1.ResourceEphemeralStorage: "2Gi"} {
		_, requested := out.Requests[name]
		_, limited := out.Limits[name]
		if !requested && !limited { // a limit alone is the request too, says Kubernetes
			out.Requests[name] = resource.MustParse(usual)
		}
	}
	if memory, requested := out.Requests[corev1.ResourceMemory]; requested {
		limit := memory.DeepCopy()
		if phase == messages.PhasePlan || asked.Requests[string(corev1.ResourceMemory)] == "" {
			limit.Add(memory)
		}
		setDefault(out.Limits, corev1.ResourceMemory, limit)
		if phase == messages.PhaseApply && asked.Requests[string(corev1.ResourceMemory)] == "" {
			out.Requests[corev1.ResourceMemory] = out.Limits[corev1.ResourceMemory]
		}
	}
	disk := resource.MustParse("10Gi")
	if asked := out.Requests[corev1.ResourceEphemeralStorage]; asked.Cmp(disk) > 0 {
		disk = asked
	}
	setDefault(out.Limits, corev1.ResourceEphemeralStorage, disk)
	for name, request := range out.Requests {
		if limit, there := out.Limits[name]; there && request.Cmp(limit) > 0 {
			return out, &messages.FieldError{Path: "pod_template.resources.requests." + string(name), Code: messages.CodeExecutionInvalid,
				Problem: fmt.Sprintf("%s is more than the limit of %s", request.String(), limit.String())}
		}
	}
	return out, nil
}

func setDefault(list corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	if _, there := list[name]; !there {
		list[name] = q
	}
}

// quantities parses what a template says about resources.
func quantities(field string, from map[string]string) (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		q, err := resource.ParseQuantity(from[name])
		if err != nil {
			return nil, &messages.FieldError{Path: "pod_template.resources." + field + "." + name, Code: messages.CodeExecutionInvalid, Problem: fmt.Sprintf("%q is no quantity", from[name])}
		}
		list[corev1.ResourceName(name)] = q
	}
	return list, nil
}
