package messages

import (
	"encoding/json"
	"maps"
)

// PodTemplate is what a user may set of the Pod that runs a task, and all they may: what is not here is refused with its path.
// Below its own fields it has Kubernetes' words, so that they can be copied from the manifest of a Pod.
type PodTemplate struct {
	Image            string     `json:"image,omitempty"` // any image; it need not know Gantry, see docs/kubernetes.md
	ServiceAccount   string     `json:"service_account,omitempty"`
	ImagePullSecrets []string   `json:"image_pull_secrets,omitempty"`
	Resources        *Resources `json:"resources,omitempty"`
	// ServiceAccountToken asks for a token of the ServiceAccount in the Pod, for a cloud that takes it. Without it there is none.
	ServiceAccountToken *ServiceAccountToken `json:"service_account_token,omitempty"`
	NodeSelector        map[string]string    `json:"node_selector,omitempty"`
	Tolerations         []Toleration         `json:"tolerations,omitempty"`
	Affinity            *Affinity            `json:"affinity,omitempty"`
	Env                 []EnvVar             `json:"env,omitempty"`
	EnvFrom             []EnvFrom            `json:"env_from,omitempty"`
	Volumes             []Volume             `json:"volumes,omitempty"`
	Labels              map[string]string    `json:"labels,omitempty"`
	Annotations         map[string]string    `json:"annotations,omitempty"`
}

// ParsePodTemplate decodes a template, refuses unknown fields with their path, and validates it. Errors are *FieldError.
func ParsePodTemplate(b []byte) (PodTemplate, error) {
	if !json.Valid(b) {
		return PodTemplate{}, &FieldError{"pod_template", CodeExecutionInvalid, "not JSON"}
	}
	e, err := ParseExecution(append(append([]byte(`{"execution_mode":"k8s","pod_template":`), b...), '}'))
	if err != nil || e.PodTemplate == nil {
		return PodTemplate{}, err
	}
	return *e.PodTemplate, nil
}

// Resources are Kubernetes resource quantities by resource name.
type Resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

// ServiceAccountToken is a token for one audience. The Pod has it in the file that the variable GANTRY_SERVICE_ACCOUNT_TOKEN_FILE
// names; Kubernetes renews it there.
type ServiceAccountToken struct {
	Audience          string `json:"audience"`
	ExpirationSeconds int64  `json:"expirationSeconds,omitempty"` // 600 to 86400; 0 means 3600
}

// Toleration lets the Pod run on nodes with a taint.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// EnvVar is a variable of the environment of terraform: a value for everybody to see, or a place of one.
type EnvVar struct {
	Name      string     `json:"name"`
	Value     string     `json:"value,omitempty"`
	ValueFrom *ValueFrom `json:"valueFrom,omitempty"`
}

// ValueFrom is a key of a Secret or a ConfigMap in the Pod's namespace. One of the two is set.
type ValueFrom struct {
	SecretKeyRef    *KeyRef `json:"secretKeyRef,omitempty"`
	ConfigMapKeyRef *KeyRef `json:"configMapKeyRef,omitempty"`
}

// KeyRef names a key of an object.
type KeyRef struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Optional bool   `json:"optional,omitempty"`
}

// EnvFrom takes all keys of a Secret or a ConfigMap as variables of the environment. One of the two is set.
type EnvFrom struct {
	Prefix       string     `json:"prefix,omitempty"`
	SecretRef    *ObjectRef `json:"secretRef,omitempty"`
	ConfigMapRef *ObjectRef `json:"configMapRef,omitempty"`
}

// ObjectRef names an object in the Pod's namespace.
type ObjectRef struct {
	Name     string `json:"name"`
	Optional bool   `json:"optional,omitempty"`
}

// Volume is a volume and where it is mounted. One source is set.
type Volume struct {
	Name                  string        `json:"name"`
	MountPath             string        `json:"mountPath"`
	SubPath               string        `json:"subPath,omitempty"`
	ReadOnly              bool          `json:"readOnly,omitempty"`
	Secret                *SecretVolume `json:"secret,omitempty"`
	ConfigMap             *ObjectRef    `json:"configMap,omitempty"`
	PersistentVolumeClaim *ClaimVolume  `json:"persistentVolumeClaim,omitempty"`
	EmptyDir              *EmptyDir     `json:"emptyDir,omitempty"`
}

// SecretVolume has the keys of a Secret as files.
type SecretVolume struct {
	SecretName string `json:"secretName"`
	Optional   bool   `json:"optional,omitempty"`
}

// ClaimVolume is storage that outlives the Pod.
type ClaimVolume struct {
	ClaimName string `json:"claimName"`
}

// EmptyDir is storage for as long as the Pod lives.
type EmptyDir struct {
	SizeLimit string `json:"sizeLimit"`        // a quantity
	Medium    string `json:"medium,omitempty"` // "Memory", or empty for the node's disk
}

// Affinity says which nodes the Pod must or should run on.
type Affinity struct {
	NodeAffinity    *NodeAffinity `json:"nodeAffinity,omitempty"`
	PodAffinity     *PodAffinity  `json:"podAffinity,omitempty"`
	PodAntiAffinity *PodAffinity  `json:"podAntiAffinity,omitempty"`
}

// NodeAffinity chooses nodes by their labels.
type NodeAffinity struct {
	Required  *NodeSelector   `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []PreferredNode `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// NodeSelector takes a node that one of the terms takes.
type NodeSelector struct {
	NodeSelectorTerms []NodeTerm `json:"nodeSelectorTerms"`
}

// NodeTerm takes a node that all expressions take.
type NodeTerm struct {
	MatchExpressions []Requirement `json:"matchExpressions,omitempty"`
	MatchFields      []Requirement `json:"matchFields,omitempty"`
}

// PreferredNode is a wish of some weight, 1 to 100.
type PreferredNode struct {
	Weight     int32    `json:"weight"`
	Preference NodeTerm `json:"preference"`
}

// PodAffinity chooses nodes by the Pods that run there.
type PodAffinity struct {
	Required  []PodTerm      `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []PreferredPod `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// PodTerm is about Pods of the run's namespace with these labels, within one value of the topology key.
type PodTerm struct {
	LabelSelector LabelSelector `json:"labelSelector"`
	TopologyKey   string        `json:"topologyKey"`
}

// PreferredPod is a wish of some weight, 1 to 100.
type PreferredPod struct {
	Weight          int32   `json:"weight"`
	PodAffinityTerm PodTerm `json:"podAffinityTerm"`
}

// LabelSelector takes what has all these labels.
type LabelSelector struct {
	MatchLabels      map[string]string `json:"matchLabels,omitempty"`
	MatchExpressions []Requirement     `json:"matchExpressions,omitempty"`
}

// Requirement is a condition on a label or field: In, NotIn, Exists, DoesNotExist, and of nodes also Gt and Lt.
type Requirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// Over fills what the template does not say from the defaults of its k8s config: field by field, in resources, labels,
// annotations and node_selector key by key. Lists replace those of the defaults.
func (p *PodTemplate) Over(defaults *PodTemplate) *PodTemplate {
	if p == nil || defaults == nil {
		if p == nil {
			return defaults
		}
		return p
	}
	out := *p
	fill(&out.Image, defaults.Image)
	fill(&out.ServiceAccount, defaults.ServiceAccount)
	fill(&out.ServiceAccountToken, defaults.ServiceAccountToken)
	fill(&out.Affinity, defaults.Affinity)
	out.ImagePullSecrets = orList(out.ImagePullSecrets, defaults.ImagePullSecrets)
	out.Tolerations = orList(out.Tolerations, defaults.Tolerations)
	out.Env = orList(out.Env, defaults.Env)
	out.EnvFrom = orList(out.EnvFrom, defaults.EnvFrom)
	out.Volumes = orList(out.Volumes, defaults.Volumes)
	out.NodeSelector = overKeys(out.NodeSelector, defaults.NodeSelector)
	out.Labels = overKeys(out.Labels, defaults.Labels)
	out.Annotations = overKeys(out.Annotations, defaults.Annotations)
	if out.Resources != nil && defaults.Resources != nil {
		out.Resources = &Resources{Requests: overKeys(out.Resources.Requests, defaults.Resources.Requests), Limits: overKeys(out.Resources.Limits, defaults.Resources.Limits)}
	}
	fill(&out.Resources, defaults.Resources)
	return &out
}

func orList[T any](own, defaults []T) []T {
	if own == nil {
		return defaults
	}
	return own
}

func overKeys(own, defaults map[string]string) map[string]string {
	if len(defaults) == 0 {
		return own
	}
	out := maps.Clone(defaults)
	maps.Copy(out, own)
	return out
}
