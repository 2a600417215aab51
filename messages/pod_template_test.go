package messages_test

import (
	"reflect"
	"testing"

	"gantry.example/messages"
)

func TestGoldenPodTemplate(t *testing.T) {
	t.Parallel()
	const file = "execution_k8s_pod.json"
	got, err := messages.ParseExecution(read(t, file))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	five := int64(300)
	wantEqual(t, file, *got.PodTemplate, messages.PodTemplate{
		Image:               "hashicorp/terraform:1.11.4",
		ServiceAccountToken: &messages.ServiceAccountToken{Audience: "sts.amazonaws.com", ExpirationSeconds: 1800},
		NodeSelector:        map[string]string{"kubernetes.io/arch": "amd64"},
		Tolerations:         []messages.Toleration{{Key: "spot", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &five}},
		Affinity: &messages.Affinity{
			NodeAffinity: &messages.NodeAffinity{Required: &messages.NodeSelector{NodeSelectorTerms: []messages.NodeTerm{{
				MatchExpressions: []messages.Requirement{{Key: "topology.kubernetes.io/zone", Operator: "In", Values: []string{"eu-west-1a"}}}}}}},
			PodAntiAffinity: &messages.PodAffinity{Preferred: []messages.PreferredPod{{Weight: 10, PodAffinityTerm: messages.PodTerm{
				TopologyKey: "kubernetes.io/hostname", LabelSelector: messages.LabelSelector{MatchLabels: map[string]string{"team": "iac"}}}}}},
		},
		Env: []messages.EnvVar{{Name: "AWS_REGION", Value: "eu-west-1"},
			{Name: "DB_PASSWORD", ValueFrom: &messages.ValueFrom{SecretKeyRef: &messages.KeyRef{Name: "db", Key: "password"}}}},
		EnvFrom: []messages.EnvFrom{{Prefix: "CLOUD_", ConfigMapRef: &messages.ObjectRef{Name: "cloud", Optional: true}}},
		Volumes: []messages.Volume{{Name: "ca", MountPath: "/etc/ssl/company", ReadOnly: true, ConfigMap: &messages.ObjectRef{Name: "company-ca"}},
			{Name: "scratch", MountPath: "/scratch", EmptyDir: &messages.EmptyDir{SizeLimit: "2Gi"}}},
		Labels:      map[string]string{"team": "iac", "kueue.x-k8s.io/queue-name": "iac"},
		Annotations: map[string]string{"company.example/cost-center": "4711"},
	})
}

func TestPodTemplateNamesTheWrongField(t *testing.T) {
	t.Parallel()
	const unknown, invalid = messages.CodeExecutionUnknownField, messages.CodeExecutionInvalid
	for in, want := range map[string]struct {
		path string
		code messages.Code
		says string
	}{
		`"hostNetwork":true`:                                             {"hostNetwork", unknown, "unknown field"},
		`"volumes":[{"hostPath":{"path":"/"}}]`:                          {"volumes[0].hostPath", unknown, "unknown field"},
		`"env":[{"valueFrom":{"fieldRef":{}}}]`:                          {"env[0].valueFrom.fieldRef", unknown, "unknown field"},
		`"securityContext":{"privileged":true}`:                          {"securityContext", unknown, "unknown field"},
		`"tolerations":"all"`:                                            {"tolerations", invalid, "is not a list"},
		`"volumes":[{"readOnly":1}]`:                                     {"volumes.readOnly", invalid, "is not true or false"},
		`"image":"a b"`:                                                  {"image", invalid, "not the name of an image"},
		`"image":"-rm"`:                                                  {"image", invalid, "not the name of an image"},
		`"service_account":"A_b"`:                                        {"service_account", invalid, "not the name of a ServiceAccount"},
		`"image_pull_secrets":["ok","Not OK"]`:                           {"image_pull_secrets[1]", invalid, "not the name of a Secret"},
		`"resources":{"limits":{"cpu":"one"}}`:                           {"resources.limits.cpu", invalid, "not a quantity"},
		`"resources":{"limits":{"cpu":"-1"}}`:                            {"resources.limits.cpu", invalid, "not a quantity"},
		`"resources":{"requests":{"a b":"1"}}`:                           {"resources.requests.a b", invalid, "not the name of a resource"},
		`"service_account_token":{}`:                                     {"service_account_token.audience", invalid, "missing"},
		`"service_account_token":{"audience":"a","expirationSeconds":5}`: {"service_account_token.expirationSeconds", invalid, "600"},
		`"node_selector":{"a":"b c"}`:                                    {"node_selector.a", invalid, "not the value of a label"},
		`"tolerations":[{"operator":"Equal"}]`:                           {"tolerations[0].operator", invalid, "must be Exists"},
		`"tolerations":[{"key":"a","effect":"No"}]`:                      {"tolerations[0].effect", invalid, "NoSchedule"},
		`"env":[{"name":"GANTRY_API"}]`:                                  {"env[0].name", invalid, "Gantry's own"},
		`"env":[{"name":"A","value":"1","valueFrom":{"secretKeyRef":{"name":"a","key":"b"}}}]`:           {"env[0].value", invalid, "excludes"},
		`"env":[{"name":"A","valueFrom":{}}]`:                                                            {"env[0].valueFrom", invalid, "one of secretKeyRef"},
		`"env_from":[{}]`:                                                                                {"env_from[0]", invalid, "one of secretRef"},
		`"volumes":[{"name":"a","mountPath":"/data"}]`:                                                   {"volumes[0]", invalid, "takes one of"},
		`"volumes":[{"name":"gantry-x","mountPath":"/data","emptyDir":{"sizeLimit":"1"}}]`:               {"volumes[0].name", invalid, "Gantry's own"},
		`"volumes":[{"name":"a","mountPath":"/gantry/bin","emptyDir":{"sizeLimit":"1"}}]`:                {"volumes[0].mountPath", invalid, "in the way of /gantry"},
		`"volumes":[{"name":"a","mountPath":"/","emptyDir":{"sizeLimit":"1"}}]`:                          {"volumes[0].mountPath", invalid, "in the way of"},
		`"volumes":[{"name":"a","mountPath":"/var","emptyDir":{"sizeLimit":"1"}}]`:                       {"volumes[0].mountPath", invalid, "/var/run/secrets"},
		`"volumes":[{"name":"a","mountPath":"data","emptyDir":{"sizeLimit":"1"}}]`:                       {"volumes[0].mountPath", invalid, "absolute"},
		`"volumes":[{"name":"a","mountPath":"/data","subPath":"../b","emptyDir":{"sizeLimit":"1"}}]`:     {"volumes[0].subPath", invalid, "inside the volume"},
		`"volumes":[{"name":"a","mountPath":"/data","emptyDir":{}}]`:                                     {"volumes[0].emptyDir.sizeLimit", invalid, "every volume has a limit"},
		`"labels":{"gantry.example/task":"x"}`:                                                           {"labels.gantry.example/task", invalid, "finds its Pods"},
		`"labels":{"app.kubernetes.io/managed-by":"x"}`:                                                  {"labels.app.kubernetes.io/managed-by", invalid, "finds its Pods"},
		`"annotations":{"container.apparmor.security.beta.kubernetes.io/runner":"unconfined"}`:           {"annotations.container.apparmor.security.beta.kubernetes.io/runner", invalid, "not for a pod_template"},
		`"annotations":{"cluster-autoscaler.kubernetes.io/safe-to-evict":"true"}`:                        {"annotations.cluster-autoscaler.kubernetes.io/safe-to-evict", invalid, "not for a pod_template"},
		`"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{}}}`:              {"affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", invalid, "must have a term"},
		`"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{}]}}`:             {"affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", invalid, "not the key of a label"},
		`"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":0}]}}`: {"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight", invalid, "within 1 and 100"},
	} {
		_, err := messages.ParseExecution([]byte(`{"execution_mode":"k8s","pod_template":{` + in + `}}`))
		wantFieldError(t, err, "pod_template."+want.path, want.code, want.says)
	}
	_, err := messages.ParseExecution([]byte(`{"execution_mode":"k8s","namespace":"kube_system"}`))
	wantFieldError(t, err, "namespace", invalid, "not the name of a namespace")
}

func TestPodTemplateOverDefaults(t *testing.T) {
	t.Parallel()
	defaults := &messages.PodTemplate{
		Image: "base", ServiceAccount: "base", ImagePullSecrets: []string{"base"}, Labels: map[string]string{"a": "base", "b": "base"},
		Resources: &messages.Resources{Requests: map[string]string{"cpu": "1", "memory": "1Gi"}, Limits: map[string]string{"cpu": "2"}},
	}
	own := &messages.PodTemplate{Image: "own", Labels: map[string]string{"a": "own"}, Resources: &messages.Resources{Requests: map[string]string{"cpu": "3"}}}
	got, want := own.Over(defaults), &messages.PodTemplate{
		Image: "own", ServiceAccount: "base", ImagePullSecrets: []string{"base"}, Labels: map[string]string{"a": "own", "b": "base"},
		Resources: &messages.Resources{Requests: map[string]string{"cpu": "3", "memory": "1Gi"}, Limits: map[string]string{"cpu": "2"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if own.Labels["b"] != "" || defaults.Labels["a"] != "base" {
		t.Error("a template was changed by laying it over another")
	}
	var none *messages.PodTemplate
	if none.Over(defaults) != defaults || own.Over(nil) != own || none.Over(nil) != nil {
		t.Error("a missing template changes the other one")
	}
}
