package browser_test

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// someClusters stands for a cluster, which lacks something.
type someClusters struct{ api.Kubernetes }

func (someClusters) Check(context.Context, wire.K8sConfig, *wire.Cluster) (wire.K8sCheck, error) {
	return wire.K8sCheck{Findings: []wire.K8sFinding{
		{What: "Pods of a plan", Problem: `pods "gantry-check" is forbidden: exceeded quota: gantry-runs, requested: requests.memory=512Mi, used: requests.memory=40Gi, limited: requests.memory=40Gi`, Fix: "Wait for runs to end, or raise the quota of namespace gantry-runs."},
		{What: "reach the cluster", OK: true, Note: "Kubernetes v1.37.2"},
		{What: "rights in namespace gantry-runs", OK: true},
	}}, nil
}

// The page of a k8s config shows what Pods wait for, by itself, and what the cluster says when it is asked.
func TestKubernetesInTheBrowser(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx := t.Context()
	name, namespace := "production", "gantry-runs"
	c, err := s.db.CreateK8sConfig(ctx, "default", postgres.K8sChange{Name: &name, Namespace: &namespace, Access: &postgres.ClusterAccess{Kind: wire.ClusterIn}})
	must(t, err)
	doc := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(c.ID), PodTemplate: &messages.PodTemplate{Image: "hashicorp/terraform:1.11.4"}}
	s.ws, err = s.db.UpdateWorkspace(ctx, s.ws.ID, postgres.WorkspaceChange{Execution: &doc})
	must(t, err)
	_, err = s.db.SawWorker(ctx, c.ID, "192.0.2.7", wire.WorkerStatus{Name: "dispatcher-1", Slots: 50, Busy: 2, Version: "0.9.0"})
	must(t, err)
	claim := func(message string) wire.Claim {
		r := s.newRun(message, run.Options{PlanOnly: true})
		got, err := s.db.Claim(ctx, c.ID, wire.ClaimRequest{V: 1, TaskID: r.Plan.ID, Worker: "dispatcher-1", Nonce: r.ID})
		must(t, err)
		return got
	}
	first, second := claim("Add a second availability zone"), claim("Rotate the certificates of every load balancer in the region")

	s.logIn("/app/~kubernetes")
	s.shows("main", "production")
	s.picture("kubernetes")
	s.click("main a.name")
	s.shows("#live", "Starting")
	_, err = s.db.SawPlacements(ctx, c.ID, []wire.Placement{{AttemptID: first.AttemptID, Extend: true, Reason: "No node has room: 0/3 nodes are available: 3 Insufficient memory."}})
	must(t, err)
	a, err := s.db.AttemptByToken(ctx, second.Token)
	must(t, err)
	_, err = s.db.Start(ctx, a, wire.StartRequest{V: 1, Nonce: "runner", Base: second.Inputs.Base})
	must(t, err)
	s.shows("#live", "Running") // by itself
	s.shows("#live", "3 Insufficient memory")
	s.click(".head form button")
	s.shows("#check", "exceeded quota")
	s.picture("kubernetes-config")
	s.click("#live a.name")
	s.until(`location.pathname.startsWith("/app/default/network/runs/run-")`)
	s.do(chromedp.Navigate(s.server.URL + "/app/default/network/settings"))
	s.until(`document.getElementById("f-k8s_config_id").selectedOptions[0].text === "production · gantry-runs"`)
	s.picture("settings-k8s")
}
