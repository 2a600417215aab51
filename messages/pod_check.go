package messages

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// PodLabelPrefix begins the labels and annotations of Pods that are Gantry's own, as does ReservedPodName the volumes.
const (
	PodLabelPrefix  = "gantry.example/"
	ReservedPodName = "gantry-"
)

// PodFolder is the folder of a Pod that is Gantry's own.
const PodFolder = "/gantry"

// ValidNamespace reports whether s may name a namespace of Kubernetes.
func ValidNamespace(s string) bool { return dnsLabel(s) }

func dnsLabel(s string) bool {
	return len(s) <= 63 && regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(s)
}

// objectName is what most objects of Kubernetes may be called.
func objectName(s string) bool {
	return len(s) <= 253 && regexp.MustCompile(`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`).MatchString(s)
}

func qualifiedName(s string) bool {
	prefix, name, ok := strings.Cut(s, "/")
	if !ok {
		prefix, name = "", s
	}
	return (!ok || objectName(prefix)) && name != "" && labelValue(name)
}

func labelValue(s string) bool {
	return len(s) <= 63 && regexp.MustCompile(`^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$`).MatchString(s)
}

func quantity(s string) bool {
	return regexp.MustCompile(`^\+?([0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?$`).MatchString(s)
}

// check collects the first problem that is found.
type check struct{ err error }

func (c *check) that(ok bool, at, problem string, args ...any) {
	if !ok && c.err == nil {
		c.err = &FieldError{at, CodeExecutionInvalid, fmt.Sprintf(problem, args...)}
	}
}

// Validate reports the first field that Kubernetes would refuse or that is Gantry's own. at is the path of the template.
func (p PodTemplate) Validate(at string) error {
	c := &check{}
	c.that(p.Image == "" || len(p.Image) <= 500 && regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9._/:@+]*$`).MatchString(p.Image), at+".image", "%q is not the name of an image", p.Image)
	c.that(p.ServiceAccount == "" || objectName(p.ServiceAccount), at+".service_account", "%q is not the name of a ServiceAccount", p.ServiceAccount)
	for i, s := range p.ImagePullSecrets {
		c.that(objectName(s), fmt.Sprintf("%s.image_pull_secrets[%d]", at, i), "%q is not the name of a Secret", s)
	}
	if p.Resources != nil {
		p.Resources.check(c, at+".resources")
	}
	if t := p.ServiceAccountToken; t != nil {
		c.that(t.Audience != "", at+".service_account_token.audience", "missing: a token is for one audience, such as sts.amazonaws.com")
		c.that(t.ExpirationSeconds == 0 || t.ExpirationSeconds >= 600 && t.ExpirationSeconds <= 86400, at+".service_account_token.expirationSeconds",
			"%d is not within 600 and 86400", t.ExpirationSeconds)
	}
	c.labels(at+".node_selector", p.NodeSelector, false)
	for i, t := range p.Tolerations {
		t.check(c, fmt.Sprintf("%s.tolerations[%d]", at, i))
	}
	p.checkEnv(c, at)
	names, paths := map[string]bool{}, map[string]bool{}
	for i, v := range p.Volumes {
		where := fmt.Sprintf("%s.volumes[%d]", at, i)
		c.that(!names[v.Name], where+".name", "%q is there twice", v.Name)
		c.that(!paths[v.MountPath], where+".mountPath", "%q is there twice", v.MountPath)
		names[v.Name], paths[v.MountPath] = true, true
		v.check(c, where)
	}
	if p.Affinity != nil {
		p.Affinity.check(c, at+".affinity")
	}
	c.labels(at+".labels", p.Labels, true)
	p.checkAnnotations(c, at+".annotations")
	return c.err
}

func (r Resources) check(c *check, at string) {
	for _, part := range []struct {
		name string
		all  map[string]string
	}{{"requests", r.Requests}, {"limits", r.Limits}} {
		for _, key := range slices.Sorted(maps.Keys(part.all)) {
			where := at + "." + part.name + "." + key
			c.that(qualifiedName(key), where, "%q is not the name of a resource, such as cpu or memory", key)
			c.that(quantity(part.all[key]), where, `%q is not a quantity, such as "500m" or "1Gi"`, part.all[key])
		}
	}
}

func (t Toleration) check(c *check, at string) {
	c.that(t.Key == "" || qualifiedName(t.Key), at+".key", "%q is not the key of a taint", t.Key)
	c.that(slices.Contains([]string{"", "Equal", "Exists"}, t.Operator), at+".operator", "%q is not one of Equal, Exists", t.Operator)
	c.that(t.Key != "" || t.Operator == "Exists", at+".operator", "without a key it must be Exists")
	c.that(t.Operator != "Exists" || t.Value == "", at+".value", "must be empty when the operator is Exists")
	c.that(labelValue(t.Value), at+".value", "%q is not the value of a taint", t.Value)
	c.that(slices.Contains([]string{"", "NoSchedule", "PreferNoSchedule", "NoExecute"}, t.Effect), at+".effect", "%q is not one of NoSchedule, PreferNoSchedule, NoExecute", t.Effect)
	c.that(t.TolerationSeconds == nil || t.Effect == "NoExecute", at+".tolerationSeconds", "takes the effect NoExecute")
}

func (p PodTemplate) checkEnv(c *check, at string) {
	for i, e := range p.Env {
		where := fmt.Sprintf("%s.env[%d]", at, i)
		c.that(regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(e.Name), where+".name", "%q is not the name of a variable", e.Name)
		c.that(!strings.HasPrefix(e.Name, "GANTRY_"), where+".name", "%q is not for a pod_template to set: names with GANTRY_ are Gantry's own", e.Name)
		if e.ValueFrom == nil {
			continue
		}
		c.that(e.Value == "", where+".value", "excludes valueFrom")
		c.that((e.ValueFrom.SecretKeyRef == nil) != (e.ValueFrom.ConfigMapKeyRef == nil), where+".valueFrom", "takes one of secretKeyRef, configMapKeyRef")
		for kind, ref := range map[string]*KeyRef{"secretKeyRef": e.ValueFrom.SecretKeyRef, "configMapKeyRef": e.ValueFrom.ConfigMapKeyRef} {
			if ref != nil {
				c.that(objectName(ref.Name), where+".valueFrom."+kind+".name", "%q is not the name of an object", ref.Name)
				c.that(dataKey(ref.Key), where+".valueFrom."+kind+".key", "%q is not a key", ref.Key)
			}
		}
	}
	for i, e := range p.EnvFrom {
		where := fmt.Sprintf("%s.env_from[%d]", at, i)
		c.that((e.SecretRef == nil) != (e.ConfigMapRef == nil), where, "takes one of secretRef, configMapRef")
		c.that(!strings.HasPrefix(e.Prefix, "GANTRY_"), where+".prefix", "names with GANTRY_ are Gantry's own")
		for kind, ref := range map[string]*ObjectRef{"secretRef": e.SecretRef, "configMapRef": e.ConfigMapRef} {
			c.that(ref == nil || objectName(ref.Name), where+"."+kind+".name", "must be the name of an object")
		}
	}
}

func dataKey(s string) bool {
	return len(s) <= 253 && regexp.MustCompile(`^[-._a-zA-Z0-9]+$`).MatchString(s)
}

func (v Volume) check(c *check, at string) {
	c.that(dnsLabel(v.Name), at+".name", "%q is not the name of a volume: lower-case letters, digits and -", v.Name)
	c.that(!strings.HasPrefix(v.Name, ReservedPodName), at+".name", "%q is not for a pod_template to set: names with %s are Gantry's own", v.Name, ReservedPodName)
	c.that(path.IsAbs(v.MountPath) && v.MountPath == path.Clean(v.MountPath) && !strings.Contains(v.MountPath, ":"), at+".mountPath", "%q is not an absolute clean path", v.MountPath)
	for _, taken := range []string{PodFolder, "/tmp", "/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets"} {
		c.that(!within(v.MountPath, taken) && !within(taken, v.MountPath), at+".mountPath", "%q is in the way of %s, which every Pod of Gantry has", v.MountPath, taken)
	}
	c.that(v.SubPath == "" || !path.IsAbs(v.SubPath) && v.SubPath == path.Clean(v.SubPath) && v.SubPath != ".." && !strings.HasPrefix(v.SubPath, "../"),
		at+".subPath", "%q is not a clean path inside the volume", v.SubPath)
	sources := 0
	if v.Secret != nil {
		sources++
		c.that(objectName(v.Secret.SecretName), at+".secret.secretName", "%q is not the name of a Secret", v.Secret.SecretName)
	}
	if v.ConfigMap != nil {
		sources++
		c.that(objectName(v.ConfigMap.Name), at+".configMap.name", "%q is not the name of a ConfigMap", v.ConfigMap.Name)
	}
	if v.PersistentVolumeClaim != nil {
		sources++
		c.that(objectName(v.PersistentVolumeClaim.ClaimName), at+".persistentVolumeClaim.claimName", "%q is not the name of a PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName)
	}
	if v.EmptyDir != nil {
		sources++
		c.that(quantity(v.EmptyDir.SizeLimit), at+".emptyDir.sizeLimit", `%q is not a quantity, such as "1Gi": every volume has a limit`, v.EmptyDir.SizeLimit)
		c.that(v.EmptyDir.Medium == "" || v.EmptyDir.Medium == "Memory", at+".emptyDir.medium", "%q is not Memory", v.EmptyDir.Medium)
	}
	c.that(sources == 1, at, "takes one of secret, configMap, persistentVolumeClaim, emptyDir")
}

// within reports whether the path is the folder or in it.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, strings.TrimSuffix(folder, "/")+"/")
}

func (a Affinity) check(c *check, at string) {
	const required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	if n := a.NodeAffinity; n != nil {
		at := at + ".nodeAffinity."
		if n.Required != nil {
			c.that(len(n.Required.NodeSelectorTerms) > 0, at+required+".nodeSelectorTerms", "must have a term")
			for i, t := range n.Required.NodeSelectorTerms {
				t.check(c, fmt.Sprintf("%s%s.nodeSelectorTerms[%d]", at, required, i))
			}
		}
		for i, p := range n.Preferred {
			c.weight(fmt.Sprintf("%s%s[%d].weight", at, preferred, i), p.Weight)
			p.Preference.check(c, fmt.Sprintf("%s%s[%d].preference", at, preferred, i))
		}
	}
	for name, p := range map[string]*PodAffinity{".podAffinity.": a.PodAffinity, ".podAntiAffinity.": a.PodAntiAffinity} {
		if p == nil {
			continue
		}
		for i, t := range p.Required {
			t.check(c, fmt.Sprintf("%s%s%s[%d]", at, name, required, i))
		}
		for i, t := range p.Preferred {
			c.weight(fmt.Sprintf("%s%s%s[%d].weight", at, name, preferred, i), t.Weight)
			t.PodAffinityTerm.check(c, fmt.Sprintf("%s%s%s[%d].podAffinityTerm", at, name, preferred, i))
		}
	}
}

func (c *check) weight(at string, w int32) {
	c.that(w >= 1 && w <= 100, at, "%d is not within 1 and 100", w)
}

func (t NodeTerm) check(c *check, at string) {
	c.that(len(t.MatchExpressions)+len(t.MatchFields) > 0, at, "must have a condition")
	c.requirements(at+".matchExpressions", t.MatchExpressions, "Gt", "Lt")
	c.requirements(at+".matchFields", t.MatchFields)
}

func (t PodTerm) check(c *check, at string) {
	c.that(qualifiedName(t.TopologyKey), at+".topologyKey", "%q is not the key of a label, such as kubernetes.io/hostname", t.TopologyKey)
	c.labels(at+".labelSelector.matchLabels", t.LabelSelector.MatchLabels, false)
	c.requirements(at+".labelSelector.matchExpressions", t.LabelSelector.MatchExpressions)
}

func (c *check) requirements(at string, all []Requirement, more ...string) {
	operators := append([]string{"In", "NotIn", "Exists", "DoesNotExist"}, more...)
	for i, r := range all {
		where := fmt.Sprintf("%s[%d]", at, i)
		c.that(qualifiedName(r.Key), where+".key", "%q is not the key of a label", r.Key)
		c.that(slices.Contains(operators, r.Operator), where+".operator", "%q is not one of %s", r.Operator, strings.Join(operators, ", "))
		switch r.Operator {
		case "In", "NotIn":
			c.that(len(r.Values) > 0, where+".values", "must have a value")
		case "Gt", "Lt":
			c.that(len(r.Values) == 1, where+".values", "must have one value")
		default:
			c.that(len(r.Values) == 0, where+".values", "must be empty when the operator is %s", r.Operator)
		}
		for _, v := range r.Values {
			c.that(labelValue(v), where+".values", "%q is not the value of a label", v)
		}
	}
}

// labels checks labels of Kubernetes; own tells that they become the Pod's, some of which are not for users to set.
func (c *check) labels(at string, all map[string]string, own bool) {
	for _, key := range slices.Sorted(maps.Keys(all)) {
		where := at + "." + key
		c.that(qualifiedName(key), where, "%q is not the key of a label", key)
		c.that(labelValue(all[key]), where, "%q is not the value of a label", all[key])
		c.that(!own || !ownKey(key) && !strings.HasPrefix(key, "app.kubernetes.io/"), where, "this label is not for a pod_template to set: the dispatcher finds its Pods by it")
	}
}

func (p PodTemplate) checkAnnotations(c *check, at string) {
	size := 0
	for _, key := range slices.Sorted(maps.Keys(p.Annotations)) {
		size += len(key) + len(p.Annotations[key])
		c.that(qualifiedName(key), at+"."+key, "%q is not the key of an annotation", key)
		c.that(!ownKey(key), at+"."+key, "this annotation is not for a pod_template to set")
	}
	c.that(size <= 32<<10, at, "have %d bytes, and may have %d", size, 32<<10)
}

// ownKey reports whether a label or annotation decides over the Pod's security or its bookkeeping.
func ownKey(key string) bool {
	for _, prefix := range []string{PodLabelPrefix, "pod-security.kubernetes.io/", "seccomp.security.alpha.kubernetes.io/", "container.apparmor.security.beta.kubernetes.io/"} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return slices.Contains([]string{"cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt", "controller.kubernetes.io/pod-deletion-cost"}, key)
}
