package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// clusters knows one kubeconfig, and finds everything in order.
type clusters struct{}

func (*clusters) Kubeconfig(text, contextName string) (wire.Cluster, error) {
	if text != "good" {
		return wire.Cluster{}, &messages.Failure{Code: messages.CodeInvalid, Field: "kubeconfig.users[0].user.exec", Message: "would run a program on the server"}
	}
	return wire.Cluster{Server: "https://" + contextName, Token: "very-secret"}, nil
}

func (*clusters) Render(cfg wire.K8sConfig, in wire.Inputs) ([]byte, error) {
	image := ""
	if t := in.Execution.PodTemplate; t != nil {
		image = t.Image
	}
	return fmt.Appendf(nil, "image: %s # %s %s %s %s\n", image, in.WorkspaceID, in.Phase, in.Execution.Namespace, cfg.Name), nil
}

func (*clusters) Check(_ context.Context, cfg wire.K8sConfig, cluster *wire.Cluster) (wire.K8sCheck, error) {
	ok := cfg.Cluster == wire.ClusterIn && cluster == nil || cluster != nil && cluster.Token == "very-secret"
	return wire.K8sCheck{OK: ok, Findings: []wire.K8sFinding{{What: "credentials", OK: ok}}}, nil
}

// plainly decodes an answer in plain JSON.
func plainly[T any](a answer, status int) T {
	a.t.Helper()
	a.want(status, "")
	equal(a.t, a.call+": content type", a.header.Get("Content-Type"), "application/json")
	var out T
	must(a.t, json.Unmarshal(a.body, &out))
	return out
}

const k8sOfDefault = "/api/gantry/v1/organizations/default/k8s-configs"

func TestK8sConfigs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, admin := f.member("ann", "default", postgres.RoleAdmin)
	made := f.post(k8sOfDefault, admin, attributes{"name": "prod", "kubeconfig": "good", "context": "k8s.example", "namespace": "iac",
		"pod_template": attributes{"image": "terraform:1.11.4"}})
	c := plainly[wire.K8sConfig](made, http.StatusCreated)
	if c.Cluster != wire.ClusterKubeconfig || c.Server != "https://k8s.example" || c.MaxPods != postgres.DefaultMaxPods || c.PodTemplate.Image != "terraform:1.11.4" {
		t.Errorf("created: got %+v", c)
	}
	one := "/api/gantry/v1/k8s-configs/" + c.ID
	if !plainly[wire.K8sCheck](f.post(one+"/check", admin, nil), http.StatusOK).OK {
		t.Error("check: the credentials did not come to whoever asks the cluster")
	}
	changed := plainly[wire.K8sConfig](f.call("PATCH", "/api/gantry/v1/k8s-configs/"+fmt.Sprint(c.Number), admin, []byte(`{"namespaces":["iac-2"],"max_pods":7}`)), http.StatusOK)
	if changed.MaxPods != 7 || changed.Server != c.Server || changed.Version == c.Version || changed.Namespaces[0] != "iac-2" || changed.Namespace != "iac" {
		t.Errorf("changed: got %+v", changed)
	}
	for _, seen := range []answer{made, f.get(one, admin), f.get(k8sOfDefault, admin)} {
		if bytes.Contains(seen.body, []byte("very-secret")) {
			t.Errorf("%s shows the credentials", seen.call)
		}
	}
	secret := plainly[struct{ Token string }](f.post(one+"/tokens", admin, attributes{"description": "dispatcher", "expires_in": "1h"}), http.StatusCreated).Token
	own := plainly[wire.K8sConfig](f.get("/api/gantry/v1/k8s-config", secret), http.StatusOK)
	info := plainly[wire.PoolInfo](f.get("/api/gantry/v1/pool", secret), http.StatusOK)
	if own.ID != c.ID || info.ID != c.ID || info.Name != "prod" {
		t.Errorf("the dispatcher's own config: got %s and %+v, want %s", own.ID, info, c.ID)
	}
	f.get("/api/gantry/v1/k8s-config", poolToken).want(http.StatusNotFound, messages.CodeNotFound)
	f.get(one, secret).want(http.StatusForbidden, messages.CodeForbidden)
}

func TestWhatIsWrongWithAK8sConfig(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, admin := f.member("ann", "default", postgres.RoleAdmin)
	refuse := func(detail string, code messages.Code, body attributes) {
		t.Helper()
		status := http.StatusUnprocessableEntity
		if code == messages.CodeForbidden {
			status = http.StatusForbidden
		}
		f.post(k8sOfDefault, admin, body).want(status, code).wantDetail(detail)
	}
	refuse("kubeconfig.users[0].user.exec", messages.CodeInvalid, attributes{"name": "a", "kubeconfig": "bad", "namespace": "iac"})
	refuse("field namespace", messages.CodeInvalid, attributes{"name": "a", "cluster": "remote", "namespace": "I C"})
	refuse("fields name, cluster and namespace", messages.CodeInvalid, attributes{"name": "a", "namespace": "iac"})
	refuse("field kubeconfig", messages.CodeInvalid, attributes{"name": "a", "cluster": "kubeconfig", "namespace": "iac"})
	refuse("takes none", messages.CodeInvalid, attributes{"name": "a", "cluster": "remote", "kubeconfig": "good", "namespace": "iac"})
	refuse("pod_template.hostNetwork", messages.CodeExecutionUnknownField, attributes{"name": "a", "cluster": "remote", "namespace": "iac", "pod_template": attributes{"hostNetwork": true}})
	refuse("own ServiceAccount", messages.CodeForbidden, attributes{"name": "a", "cluster": "in_cluster", "namespace": "iac"})
	c := plainly[wire.K8sConfig](f.post(k8sOfDefault, adminToken, attributes{"name": "a", "cluster": "in_cluster", "namespace": "iac"}), http.StatusCreated)
	f.call("PATCH", "/api/gantry/v1/k8s-configs/"+c.ID, admin, []byte(`{"namespace":"kube-system"}`)).want(http.StatusForbidden, messages.CodeForbidden)
	r := plainly[wire.K8sConfig](f.post(k8sOfDefault, admin, attributes{"name": "b", "cluster": "remote", "namespace": "iac"}), http.StatusCreated)
	f.call("PATCH", "/api/gantry/v1/k8s-configs/"+r.ID, admin, []byte(`{"cluster":"in_cluster"}`)).want(http.StatusForbidden, messages.CodeForbidden)
	f.post("/api/gantry/v1/k8s-configs/"+r.ID+"/check", admin, nil).want(http.StatusConflict, messages.CodeConflict).wantDetail("where its dispatcher is")
}

func TestRenderAPod(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c := plainly[wire.K8sConfig](f.post(k8sOfDefault, adminToken, attributes{"name": "prod", "cluster": "remote", "namespace": "iac",
		"pod_template": attributes{"image": "terraform:1.11.4"}}), http.StatusCreated)
	render := "/api/gantry/v1/k8s-configs/" + c.ID + "/render"
	got := plainly[struct{ Manifest string }](f.get(render+"?phase=apply&workspace="+f.ws.ID, adminToken), http.StatusOK).Manifest
	if want := "image: terraform:1.11.4 # " + f.ws.ID + " apply iac prod\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	bare := plainly[wire.K8sConfig](f.post(k8sOfDefault, adminToken, attributes{"name": "bare", "cluster": "remote", "namespace": "iac"}), http.StatusCreated)
	f.get("/api/gantry/v1/k8s-configs/"+bare.ID+"/render", adminToken).want(http.StatusUnprocessableEntity, messages.CodeExecutionInvalid).wantDetail("pod_template.image")
	if got := plainly[struct{ Manifest string }](f.get(render, adminToken), http.StatusOK).Manifest; !strings.Contains(got, " plan ") {
		t.Errorf("without a workspace: got %q, want the Pod of a plan", got)
	}
	f.get(render+"?phase=destroy", adminToken).want(http.StatusUnprocessableEntity, messages.CodeInvalid)
	_, err := f.db.CreateOrganization(t.Context(), "other")
	must(t, err)
	foreign, err := f.db.CreateWorkspace(t.Context(), postgres.NewWorkspace{Organization: "other", Name: "x"})
	must(t, err)
	f.get(render+"?workspace="+foreign.ID, adminToken).want(http.StatusNotFound, messages.CodeNotFound)
}
