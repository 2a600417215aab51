package messages_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"gantry.example/messages"
)

func TestParseExecution(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		want     messages.Execution
	}{
		{"empty", `{}`, messages.Execution{}},
		{"local", `{"execution_mode":"local","terraform_version":"1.11.4","workdir":"modules/network"}`,
			messages.Execution{Mode: messages.ModeLocal, TerraformVersion: "1.11.4", Workdir: "modules/network"}},
		{"common fields without a mode", `{"engine":"tofu","workdir":"."}`,
			messages.Execution{Engine: messages.EngineOpenTofu, Workdir: "."}},
		{"absolute workdir", `{"workdir":"/srv/gantry"}`, messages.Execution{Workdir: "/srv/gantry"}},
		{"timeouts", `{"timeouts":{"plan":"10m","approval":"none"}}`, messages.Execution{Timeouts: messages.Timeouts{Plan: "10m", Approval: "none"}}},
		{"agent by id", `{"execution_mode":"agent","agent_pool_id":"apool-1","selection_strategy":"least_busy","required_labels":["production","aws"]}`,
			messages.Execution{Mode: messages.ModeAgent, AgentPool: "apool-1", Strategy: messages.LeastBusy, RequiredLabels: []string{"production", "aws"}}},
		{"agent by number", `{"execution_mode":"agent","agent_pool_id":1}`, messages.Execution{Mode: messages.ModeAgent, AgentPool: "1"}},
		{"largest number", `{"execution_mode":"agent","agent_pool_id":18446744073709551615}`,
			messages.Execution{Mode: messages.ModeAgent, AgentPool: "18446744073709551615"}},
		{"k8s by number", `{"execution_mode":"k8s","k8s_config_id":42,"namespace":"iac"}`,
			messages.Execution{Mode: messages.ModeK8s, K8sConfig: "42", Namespace: "iac"}},
		{"pod template", `{"execution_mode":"k8s","pod_template":{"image":"i","service_account":"s","image_pull_secrets":["p"],"resources":{"requests":{"cpu":"500m"},"limits":{"memory":"1Gi"}}}}`,
			messages.Execution{Mode: messages.ModeK8s, PodTemplate: &messages.PodTemplate{Image: "i", ServiceAccount: "s", ImagePullSecrets: []string{"p"},
				Resources: &messages.Resources{Requests: map[string]string{"cpu": "500m"}, Limits: map[string]string{"memory": "1Gi"}}}}},
		{"nulls are unset", `{"execution_mode":"k8s","k8s_config_id":null,"pod_template":null,"required_labels":null}`,
			messages.Execution{Mode: messages.ModeK8s}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := messages.ParseExecution([]byte(c.in))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("ParseExecution(%s):\n got %+v, %v\nwant %+v", c.in, got, err, c.want)
			}
		})
	}
}

func TestParseExecutionNamesTheWrongField(t *testing.T) {
	t.Parallel()
	const unknown, invalid = messages.CodeExecutionUnknownField, messages.CodeExecutionInvalid
	for _, c := range []struct {
		name, in, path string
		code           messages.Code
		says           string
	}{
		{"unknown", `{"execution_mod":"local"}`, "execution_mod", unknown, "unknown field"},
		{"unknown by case", `{"Execution_Mode":"local"}`, "Execution_Mode", unknown, "unknown field"},
		{"unknown nested", `{"execution_mode":"k8s","pod_template":{"imagee":"x"}}`, "pod_template.imagee", unknown, "unknown field"},
		{"unknown nested twice", `{"execution_mode":"k8s","pod_template":{"resources":{"limitz":{}}}}`, "pod_template.resources.limitz", unknown, "unknown field"},
		{"unknown under the wrong mode", `{"execution_mode":"local","pod_template":{"x":1}}`, "pod_template.x", unknown, "unknown field"},
		{"not JSON", `{"execution_mode":`, "(document)", invalid, "not JSON"},
		{"empty input", ``, "(document)", invalid, "not JSON"},
		{"two documents", `{} {}`, "(document)", invalid, "not JSON"},
		{"a list", `[]`, "(document)", invalid, "must be an object"},
		{"a string", `"local"`, "(document)", invalid, "must be an object"},
		{"null", `null`, "(document)", invalid, "must be an object"},
		{"struct field is a string", `{"execution_mode":"k8s","pod_template":"x"}`, "pod_template", invalid, "must be an object"},
		{"string field is a number", `{"terraform_version":1.11}`, "terraform_version", invalid, "is not a string"},
		{"list field is a string", `{"execution_mode":"agent","required_labels":"aws"}`, "required_labels", invalid, "is not a list of strings"},
		{"string field is an object", `{"execution_mode":"k8s","namespace":{"a":1}}`, "namespace", invalid, "object is not a string"},
		{"map field is a string", `{"execution_mode":"k8s","pod_template":{"resources":{"limits":"x"}}}`, "pod_template.resources.limits", invalid, "is not an object"},
		{"quantity is a number", `{"execution_mode":"k8s","pod_template":{"resources":{"limits":{"cpu":1}}}}`, "pod_template.resources.limits", invalid, "is not a string"},
		{"id is a boolean", `{"execution_mode":"agent","agent_pool_id":true}`, "agent_pool_id", invalid, "true is not a string or a positive integer"},
		{"id is zero", `{"execution_mode":"agent","agent_pool_id":0}`, "agent_pool_id", invalid, "0 is not a string or a positive integer"},
		{"id is negative", `{"execution_mode":"k8s","k8s_config_id":-1}`, "k8s_config_id", invalid, "-1 is not"},
		{"id is a fraction", `{"execution_mode":"k8s","k8s_config_id":1.5}`, "k8s_config_id", invalid, "1.5 is not"},
		{"hybrid", `{"execution_mode":"hybrid"}`, "execution_mode", invalid, "reserved and not supported yet"},
		{"unknown mode", `{"execution_mode":"remote"}`, "execution_mode", invalid, `"remote" is not one of local, agent, k8s`},
		{"unknown engine", `{"engine":"pulumi"}`, "engine", invalid, "terraform, tofu"},
		{"no version", `{"terraform_version":"banana"}`, "terraform_version", invalid, `"banana" is neither a version, such as 1.11.4, nor a constraint`},
		{"half a constraint", `{"terraform_version":">= 1.5, < "}`, "terraform_version", invalid, "nor latest"},
		{"a version with something behind it", `{"terraform_version":"1.11.4; rm"}`, "terraform_version", invalid, "neither a version"},
		{"absolute workdir of an agent", `{"execution_mode":"agent","workdir":"/srv"}`, "workdir", invalid, "only execution_mode"},
		{"absolute workdir not clean", `{"workdir":"/srv/../etc"}`, "workdir", invalid, "clean"},
		{"unknown timeout", `{"timeouts":{"planning":"1h"}}`, "timeouts.planning", unknown, "unknown field"},
		{"timeout without a unit", `{"timeouts":{"plan":"10"}}`, "timeouts.plan", invalid, `"10" is neither a duration of at least 1s`},
		{"timeout is a number", `{"timeouts":{"silence":10}}`, "timeouts.silence", invalid, "is not a string"},
		{"timeout is negative", `{"timeouts":{"queue":"-1h"}}`, "timeouts.queue", invalid, "at least 1s"},
		{"workdir outside", `{"workdir":"../x"}`, "workdir", invalid, "inside the configuration"},
		{"workdir is the parent", `{"workdir":".."}`, "workdir", invalid, "inside the configuration"},
		{"workdir not clean", `{"workdir":"a/../b"}`, "workdir", invalid, "clean"},
		{"unknown strategy", `{"execution_mode":"agent","selection_strategy":"best"}`, "selection_strategy", invalid, "round_robin"},
		{"bad label", `{"execution_mode":"agent","required_labels":["aws","P!"]}`, "required_labels", invalid, `"P!"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := messages.ParseExecution([]byte(c.in))
			wantFieldError(t, err, c.path, c.code, c.says)
		})
	}
}

func TestParseExecutionRefusesFieldsOfAnotherMode(t *testing.T) {
	t.Parallel()
	owner := map[string]string{ // field → the only mode it belongs to
		`"agent_pool_id":"apool-1"`:          "agent",
		`"selection_strategy":"round_robin"`: "agent",
		`"required_labels":["aws"]`:          "agent",
		`"k8s_config_id":"kcfg-1"`:           "k8s",
		`"namespace":"iac"`:                  "k8s",
		`"pod_template":{}`:                  "k8s",
	}
	for field, mode := range owner {
		for _, other := range []string{"", "local", "agent", "k8s"} {
			doc := `{` + field + `}`
			if other != "" {
				doc = `{"execution_mode":"` + other + `",` + field + `}`
			}
			_, err := messages.ParseExecution([]byte(doc))
			if other == mode {
				if err != nil {
					t.Errorf("%s: got %v, want it accepted", doc, err)
				}
				continue
			}
			path := strings.Split(field, `"`)[1]
			wantFieldError(t, err, path, messages.CodeExecutionInvalid, `belongs to execution_mode "`+mode+`"`)
		}
	}
}

func wantFieldError(t *testing.T, err error, path string, code messages.Code, says string) {
	t.Helper()
	var fe *messages.FieldError
	if !errors.As(err, &fe) {
		t.Errorf("got error %v, want a FieldError at %s", err, path)
		return
	}
	if fe.Path != path || fe.Code != code || !strings.Contains(fe.Problem, says) {
		t.Errorf("got %s at %s: %s\nwant %s at %s: …%s…", fe.Code, fe.Path, fe.Problem, code, path, says)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("got message %q, want it to name %s", err, path)
	}
	if strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "messages.") {
		t.Errorf("got message %q, want one without words of the Go source", err)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	agent := messages.Execution{Mode: messages.ModeAgent, TerraformVersion: "1.5.0", Engine: messages.EngineOpenTofu, Workdir: "base",
		AgentPool: "apool-base", Strategy: messages.Random, RequiredLabels: []string{"base"}}
	k8s := messages.Execution{Mode: messages.ModeK8s, TerraformVersion: "1.5.0", K8sConfig: "kcfg-base", Namespace: "base",
		PodTemplate: &messages.PodTemplate{Image: "base"}}
	for _, c := range []struct {
		name             string
		over, base, want messages.Execution
	}{
		{"nothing over a base", messages.Execution{}, agent, agent},
		{"over nothing", k8s, messages.Execution{}, k8s},
		{"same mode fills the gaps",
			messages.Execution{Mode: messages.ModeAgent, Strategy: messages.LeastBusy, Workdir: "own"}, agent,
			messages.Execution{Mode: messages.ModeAgent, TerraformVersion: "1.5.0", Engine: messages.EngineOpenTofu, Workdir: "own",
				AgentPool: "apool-base", Strategy: messages.LeastBusy, RequiredLabels: []string{"base"}}},
		{"labels are replaced, not added",
			messages.Execution{Mode: messages.ModeAgent, RequiredLabels: []string{"own"}}, messages.Execution{Mode: messages.ModeAgent, RequiredLabels: []string{"base"}},
			messages.Execution{Mode: messages.ModeAgent, RequiredLabels: []string{"own"}}},
		{"pod template is replaced whole",
			messages.Execution{Mode: messages.ModeK8s, PodTemplate: &messages.PodTemplate{ServiceAccount: "own"}}, k8s,
			messages.Execution{Mode: messages.ModeK8s, TerraformVersion: "1.5.0", K8sConfig: "kcfg-base", Namespace: "base",
				PodTemplate: &messages.PodTemplate{ServiceAccount: "own"}}},
		{"another mode keeps only the common fields", messages.Execution{Mode: messages.ModeLocal}, agent,
			messages.Execution{Mode: messages.ModeLocal, TerraformVersion: "1.5.0", Engine: messages.EngineOpenTofu, Workdir: "base"}},
		{"from agent to k8s", messages.Execution{Mode: messages.ModeK8s, K8sConfig: "kcfg-own"}, agent,
			messages.Execution{Mode: messages.ModeK8s, TerraformVersion: "1.5.0", Engine: messages.EngineOpenTofu, Workdir: "base", K8sConfig: "kcfg-own"}},
		{"timeouts are merged one by one",
			messages.Execution{Timeouts: messages.Timeouts{Plan: "1h", Queue: "none"}}, messages.Execution{Timeouts: messages.Timeouts{Plan: "2h", Queue: "5m", Silence: "9m"}},
			messages.Execution{Timeouts: messages.Timeouts{Plan: "1h", Queue: "none", Silence: "9m"}}},
		{"an absolute folder is of the local mode", messages.Execution{Mode: messages.ModeAgent}, messages.Execution{Mode: messages.ModeLocal, Workdir: "/srv"},
			messages.Execution{Mode: messages.ModeAgent}},
		{"no mode takes an absolute folder", messages.Execution{}, messages.Execution{Workdir: "/srv"}, messages.Execution{Workdir: "/srv"}},
		{"no mode takes the base's", messages.Execution{TerraformVersion: "1.9.0"}, k8s,
			messages.Execution{Mode: messages.ModeK8s, TerraformVersion: "1.9.0", K8sConfig: "kcfg-base", Namespace: "base",
				PodTemplate: &messages.PodTemplate{Image: "base"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := c.over.Merge(c.base)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if err := got.Validate(); err != nil {
				t.Errorf("the merged document of two valid ones: got %v, want it valid", err)
			}
		})
	}
}

// A run keeps its frozen document as JSON: what is read back must be what was frozen.
func TestExecutionSurvivesJSON(t *testing.T) {
	t.Parallel()
	want, err := messages.ParseExecution([]byte(`{"execution_mode":"k8s","k8s_config_id":7,"pod_template":{"resources":{"limits":{"cpu":"1"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := messages.ParseExecution(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("from %s: got %+v, %v, want %+v", b, got, err, want)
	}
}
