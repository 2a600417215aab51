package dashboard_test

import (
	"context"
	"net/http"
	"testing"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/postgres"
)

// someClusters stands for clusters, which lack something.
type someClusters struct{ api.Kubernetes }

func (someClusters) Check(context.Context, wire.K8sConfig, *wire.Cluster) (wire.K8sCheck, error) {
	return wire.K8sCheck{Findings: []wire.K8sFinding{
		{What: "reach the cluster", OK: true, Note: "v1.37.2"},
		{What: "create Pods", Problem: `pods is forbidden in "<iac>"`, Fix: "Apply deploy/kubernetes/namespace.yaml."},
	}}, nil
}

func (f *fixture) newConfig(name string, kind wire.ClusterKind) wire.K8sConfig {
	f.t.Helper()
	namespace, most := "iac", 7
	c, err := f.db.CreateK8sConfig(f.t.Context(), "default", postgres.K8sChange{
		Name: &name, Namespace: &namespace, MaxPods: &most, Access: &postgres.ClusterAccess{Kind: kind},
	})
	must(f.t, err)
	return c
}

func TestKubernetesPages(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("adam", postgres.RoleAdmin)
	f.get("/app/").want(http.StatusOK).without("~kubernetes")
	f.get("/app/~kubernetes").want(http.StatusOK, "No k8s config yet")
	near, far := f.newConfig("production", wire.ClusterIn), f.newConfig("far", wire.ClusterRemote)
	f.get("/app/").want(http.StatusOK, `href="/app/~kubernetes"`)
	f.get("/app/~pools").want(http.StatusOK, "/app/~kubernetes/"+near.ID)
	f.get("/app/~kubernetes").want(http.StatusOK, "production", "the server’s own cluster", "a cluster with a dispatcher of its own", "0 of 7", "iac")
	page := "/app/~kubernetes/" + near.ID
	f.get(page).want(http.StatusOK, "No Pod now", "Check the cluster")
	f.post(page).want(http.StatusOK, "Something is missing", "v1.37.2", "pods is forbidden in &#34;&lt;iac&gt;", "Apply deploy/kubernetes/namespace.yaml.", "Check again")
	f.post("/app/~kubernetes/"+far.ID).want(http.StatusOK, "check it where its dispatcher is").without("What the cluster says")
	f.enter("rita", postgres.RoleRead)
	f.get(page).want(http.StatusOK, "No Pod now").without("Check the cluster")
	f.post(page).want(http.StatusOK, "role admin").without("What the cluster says")
	f.enter("otto", postgres.RoleNone)
	f.get(page).want(http.StatusNotFound, "There is no k8s config")
	f.post(page).want(http.StatusNotFound)
	f.get("/app/~kubernetes").want(http.StatusOK).without("production")
}

func TestPodsInFlight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "")
	f.enter("rita", postgres.RoleRead)
	c := f.newConfig("production", wire.ClusterRemote)
	doc := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(c.ID), PodTemplate: &messages.PodTemplate{Image: "terraform:1"}}
	_, err := f.db.UpdateWorkspace(t.Context(), f.ws.ID, postgres.WorkspaceChange{Execution: &doc})
	must(t, err)
	r := f.newRun("adds a zone")
	claim, err := f.db.Claim(t.Context(), c.ID, wire.ClaimRequest{V: 1, TaskID: r.Plan.ID, Worker: "dispatcher-1", Nonce: "n"})
	must(t, err)
	page := "/app/~kubernetes/" + c.ID
	f.get(page).want(http.StatusOK, "Starting", "adds a zone", "default/network", claim.AttemptID, "iac", `<b>1<small> / 7</small></b>`)
	_, err = f.db.SawPlacements(t.Context(), c.ID, []wire.Placement{{AttemptID: claim.AttemptID, Extend: true, Reason: "The quota of the namespace is used up: <b>pods</b>"}})
	must(t, err)
	f.get(page).want(http.StatusOK, "Waiting", "The quota of the namespace is used up: &lt;b&gt;pods")
	a, err := f.db.AttemptByToken(t.Context(), claim.Token)
	must(t, err)
	_, err = f.db.Start(t.Context(), a, wire.StartRequest{V: 1, Nonce: "runner", Base: claim.Inputs.Base})
	must(t, err)
	f.get(page).want(http.StatusOK, "Running").without("The quota")
	f.enter("adam", postgres.RoleAdmin)
	f.get("/app/default/network/settings").want(http.StatusOK, `<option value="`+c.ID+`" selected>production · iac</option>`)
}
