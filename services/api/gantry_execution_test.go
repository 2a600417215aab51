package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/messages"
	"gantry.example/services/run"
)

type documents struct {
	Own       messages.Execution `json:"own"`
	Effective messages.Execution `json:"effective"`
}

func TestExecutionDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path := "/api/gantry/v1/workspaces/" + f.ws.ID + "/execution"
	var got documents
	f.get(path, adminToken).into(&got)
	if diff := cmp.Diff(documents{Effective: messages.Execution{Mode: messages.ModeLocal}}, got); diff != "" {
		t.Errorf("a new workspace's documents (-want +got):\n%s", diff)
	}
	want := documents{Own: messages.Execution{Workdir: "modules/network"}, Effective: messages.Execution{Mode: messages.ModeLocal, Workdir: "modules/network"}}
	for range 2 {
		got = documents{}
		f.call("PUT", path, adminToken, []byte(`{"workdir":"modules/network"}`)).into(&got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after PUT (-want +got):\n%s", diff)
		}
	}
	for _, tc := range []struct {
		name, doc string
		code      messages.Code
	}{
		{"agent mode", `{"execution_mode":"agent","agent_pool_id":1}`, messages.CodeExecutionUnsupported},
		{"agent mode without a pool", `{"execution_mode":"agent"}`, messages.CodeExecutionInvalid},
		{"a folder of the server", `{"workdir":"/srv"}`, messages.CodeExecutionInvalid},
		{"k8s mode", `{"execution_mode":"k8s"}`, messages.CodeExecutionUnsupported},
		{"hybrid mode", `{"execution_mode":"hybrid"}`, messages.CodeExecutionInvalid},
		{"unknown field", `{"pod_template":{"cpu":1}}`, messages.CodeExecutionUnknownField},
		{"field of another mode", `{"execution_mode":"local","agent_pool_id":1}`, messages.CodeExecutionInvalid},
		{"no document", ``, messages.CodeExecutionInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.call("PUT", path, adminToken, []byte(tc.doc)).want(http.StatusUnprocessableEntity, tc.code)
		})
	}
	got = documents{}
	f.get(path, adminToken).into(&got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after refused documents (-want +got):\n%s", diff)
	}
	f.get("/api/gantry/v1/workspaces/ws-none/execution", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.call("PUT", "/api/gantry/v1/workspaces/ws-none/execution", adminToken, []byte(`{}`)).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestDefaultsOfAnOrganization(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	path, workspace := "/api/gantry/v1/organizations/default/execution", "/api/gantry/v1/workspaces/"+f.ws.ID+"/execution"
	var got documents
	f.call("PUT", path, adminToken, []byte(`{"terraform_version":"~> 1.11","timeouts":{"plan":"20m","queue":"1h"}}`)).into(&got)
	f.call("PUT", workspace, adminToken, []byte(`{"workdir":"net","timeouts":{"plan":"5m"}}`)).want(http.StatusOK, "")
	defaults := messages.Execution{TerraformVersion: "~> 1.11", Timeouts: messages.Timeouts{Plan: "20m", Queue: "1h"}}
	effective := defaults
	effective.Mode = messages.ModeLocal
	for range 2 {
		if diff := cmp.Diff(documents{Own: defaults, Effective: effective}, got); diff != "" {
			t.Errorf("the organization's documents (-want +got):\n%s", diff)
		}
		got = documents{}
		f.get(path, adminToken).into(&got)
	}
	got = documents{}
	f.get(workspace, adminToken).into(&got)
	effective.Workdir, effective.Timeouts.Plan = "net", "5m"
	if diff := cmp.Diff(effective, got.Effective); diff != "" {
		t.Errorf("what follows for the workspace (-want +got):\n%s", diff)
	}
	r := f.newRun(run.Options{})
	if diff := cmp.Diff(effective, r.Execution); diff != "" {
		t.Errorf("what its run has (-want +got):\n%s", diff)
	}
	for doc, code := range map[string]messages.Code{
		`{"workdir":"/etc"}`: messages.CodeExecutionInvalid, `{"execution_mode":"agent"}`: messages.CodeExecutionInvalid,
		`{"timeouts":{"plans":"1h"}}`: messages.CodeExecutionUnknownField,
	} {
		f.call("PUT", path, adminToken, []byte(doc)).want(http.StatusUnprocessableEntity, code)
	}
	f.call("PUT", "/api/gantry/v1/organizations/none/execution", adminToken, []byte(`{}`)).want(http.StatusNotFound, messages.CodeNotFound)
}

func TestRunDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	want := f.newRun(run.Options{})
	var got run.Run
	f.get("/api/gantry/v1/runs/"+want.ID, adminToken).into(&got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-stored +got):\n%s", diff)
	}
	f.get("/api/gantry/v1/runs/run-none", adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}
