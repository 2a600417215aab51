package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// newK8sWorld is a world whose server carries out runs in Pods too.
func newK8sWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	db, err := postgres.Open(t.Context(), postgres.Config{DSN: w.dsn, Sealer: w.sealer,
		Modes: []messages.Mode{messages.ModeLocal, messages.ModeAgent, messages.ModeK8s}})
	w.ok(err)
	t.Cleanup(func() { _ = db.Close() })
	w.DB = db
	return w
}

// k8s makes a k8s config of the world's organization.
func (w *world) k8s(name string, change postgres.K8sChange) wire.K8sConfig {
	w.t.Helper()
	change.Name = &name
	if change.Access == nil {
		change.Access = &postgres.ClusterAccess{Kind: wire.ClusterRemote}
	}
	if change.Namespace == nil {
		change.Namespace = new("iac")
	}
	c, err := w.CreateK8sConfig(w.t.Context(), "acme", change)
	w.ok(err)
	return c
}

func TestAK8sConfigIsFrozenIntoTheRun(t *testing.T) {
	t.Parallel()
	w, ctx := newK8sWorld(t), t.Context()
	c := w.k8s("prod", postgres.K8sChange{Namespaces: &[]string{"iac-two"}, ServiceAccounts: &[]string{"deployer"},
		PodTemplate: &messages.PodTemplate{Image: "terraform:1.11.4", Labels: map[string]string{"team": "iac"}}})
	ws := w.workspace("x")
	for _, ref := range []string{c.ID, "prod", "PROD", fmt.Sprint(c.Number)} {
		doc := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(ref), PodTemplate: &messages.PodTemplate{ServiceAccount: "deployer"}}
		changed, err := w.UpdateWorkspace(ctx, ws.ID, postgres.WorkspaceChange{Execution: &doc})
		w.ok(err)
		target, err := changed.Target()
		w.ok(err)
		want := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(c.ID), PodTemplate: doc.PodTemplate}
		if !cmp.Equal(target, want) {
			t.Errorf("config %q: got %+v, want it stored by id and nothing else added", ref, target)
		}
	}
	r := w.newRun(ws, run.Options{})
	want := messages.Execution{Mode: messages.ModeK8s, K8sConfig: messages.Ref(c.ID), Namespace: "iac",
		PodTemplate: &messages.PodTemplate{Image: "terraform:1.11.4", ServiceAccount: "deployer", Labels: map[string]string{"team": "iac"}}}
	if diff := cmp.Diff(want, r.Execution); diff != "" || r.Pool != c.ID {
		t.Errorf("run in pool %s, want %s; its execution differs (-want +got):\n%s", r.Pool, c.ID, diff)
	}
	_, err := w.UpdateK8sConfig(ctx, c.ID, postgres.K8sChange{PodTemplate: &messages.PodTemplate{Image: "terraform:1.12.0"}})
	w.ok(err)
	again, err := w.Run(ctx, r.ID)
	w.ok(err)
	if !cmp.Equal(again.Execution, want) {
		t.Errorf("after the config changed: got %+v, want what the run was created with", again.Execution)
	}
	w.refused(w.DeleteK8sConfig(ctx, c.ID), messages.CodeConflict)
}

func TestWhatAK8sConfigDoesNotLetADocumentSay(t *testing.T) {
	t.Parallel()
	w := newK8sWorld(t)
	w.k8s("prod", postgres.K8sChange{PodTemplate: &messages.PodTemplate{ServiceAccount: "runner", Image: "terraform"}})
	w.k8s("bare", postgres.K8sChange{})
	w.pool("aws")
	ws := w.workspace("x")
	for path, doc := range map[string]messages.Execution{
		"":                             {K8sConfig: "prod", PodTemplate: &messages.PodTemplate{ServiceAccount: "runner"}},
		"k8s_config_id":                {},
		"k8s_config_id ":               {K8sConfig: "aws"},
		"k8s_config_id  ":              {K8sConfig: "none"},
		"pod_template.image":           {K8sConfig: "bare"},
		"namespace":                    {K8sConfig: "prod", Namespace: "kube-system"},
		"pod_template.service_account": {K8sConfig: "prod", PodTemplate: &messages.PodTemplate{ServiceAccount: "admin"}},
	} {
		doc.Mode = messages.ModeK8s
		_, err := w.UpdateWorkspace(t.Context(), ws.ID, postgres.WorkspaceChange{Execution: &doc})
		var wrong *messages.FieldError
		switch {
		case path == "":
			w.ok(err)
		case !errors.As(err, &wrong) || wrong.Path != string(bytes.TrimSpace([]byte(path))):
			t.Errorf("%+v: got %v, want a refusal of field %s", doc, err, path)
		}
	}
}

func TestAK8sConfigIsNoPoolOfAgents(t *testing.T) {
	t.Parallel()
	w, ctx := newK8sWorld(t), t.Context()
	c := w.k8s("prod", postgres.K8sChange{})
	_, err := w.Pool(ctx, c.ID)
	w.refused(err, messages.CodeNotFound)
	w.refused(w.DeletePool(ctx, fmt.Sprint(c.Number)), messages.CodeNotFound)
	pools, n, err := w.Pools(ctx, "acme", "", postgres.Page{})
	w.ok(err)
	if n != 0 || len(pools) != 0 {
		t.Errorf("pools of agents: got %d, want none", n)
	}
	p := w.pool("aws")
	_, err = w.K8sConfig(ctx, p.ID)
	w.refused(err, messages.CodeNotFound)
	_, err = w.CreateK8sConfig(ctx, "acme", postgres.K8sChange{Name: new("AWS"), Namespace: new("iac"), Access: &postgres.ClusterAccess{Kind: wire.ClusterRemote}})
	w.refused(err, messages.CodeNameTaken)
	w.ok(w.DeleteK8sConfig(ctx, c.ID))
	_, err = w.K8sConfig(ctx, c.ID)
	w.refused(err, messages.CodeNotFound)
}

func TestBadK8sConfigs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	remote := &postgres.ClusterAccess{Kind: wire.ClusterRemote}
	for name, in := range map[string]postgres.K8sChange{
		"no name":        {Access: remote, Namespace: new("iac")},
		"a number":       {Name: new("7"), Access: remote, Namespace: new("iac")},
		"no access":      {Name: new("a"), Namespace: new("iac")},
		"no kubeconfig":  {Name: new("a"), Access: &postgres.ClusterAccess{Kind: wire.ClusterKubeconfig}, Namespace: new("iac")},
		"no namespace":   {Name: new("a"), Access: remote},
		"bad namespace":  {Name: new("a"), Access: remote, Namespace: new("I_C")},
		"bad second one": {Name: new("a"), Access: remote, Namespace: new("iac"), Namespaces: &[]string{""}},
		"no Pods":        {Name: new("a"), Access: remote, Namespace: new("iac"), MaxPods: new(0)},
		"bad account":    {Name: new("a"), Access: remote, Namespace: new("iac"), ServiceAccounts: &[]string{"A b"}},
	} {
		if _, err := w.CreateK8sConfig(t.Context(), "acme", in); err == nil {
			t.Errorf("%s: got no error, want it refused", name)
		} else {
			w.refused(err, messages.CodeInvalid)
		}
	}
}

func TestCredentialsOfAClusterAreSealed(t *testing.T) {
	t.Parallel()
	w, ctx := newK8sWorld(t), t.Context()
	secret := &wire.Cluster{Server: "https://k8s.example:6443", Token: "very-secret", CA: []byte("pem")}
	c := w.k8s("prod", postgres.K8sChange{Access: &postgres.ClusterAccess{Kind: wire.ClusterKubeconfig, Credentials: secret}})
	w.k8s("far", postgres.K8sChange{})
	if c.Server != secret.Server {
		t.Errorf("server: got %q, want %q", c.Server, secret.Server)
	}
	var sealed []byte
	w.ok(w.raw.Get(&sealed, `SELECT sealed FROM k8s_configs WHERE pool_id = $1`, c.ID))
	if len(sealed) == 0 || bytes.Contains(sealed, []byte(secret.Token)) {
		t.Error("the credentials are not sealed")
	}
	first, err := w.Dispatched(ctx)
	w.ok(err)
	if len(first) != 1 || first[0].ID != c.ID || !cmp.Equal(first[0].Access.Credentials, secret) {
		t.Fatalf("dispatched by the server: got %d, want the one with credentials", len(first))
	}
	holder, err := w.Token(ctx, first[0].Token)
	w.ok(err)
	if holder.Kind != postgres.TokenPool || holder.Pool() != c.ID {
		t.Errorf("token of the dispatcher: got %s of %s, want one of the pool", holder.Kind, holder.Pool())
	}
	second, err := w.Dispatched(ctx)
	w.ok(err)
	if second[0].Token != first[0].Token {
		t.Error("the token of the dispatcher: got another one, want the same")
	}
	w.ok(w.RevokeToken(ctx, postgres.Token{Kind: postgres.TokenAdmin}, holder.ID))
	third, err := w.Dispatched(ctx)
	w.ok(err)
	if _, err = w.Token(ctx, third[0].Token); err != nil {
		t.Errorf("after the token was revoked: got %v, want another one", err)
	}
}
