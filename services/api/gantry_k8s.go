package api

import (
	"context"
	"encoding/json"
	"net/http"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// Kubernetes is what the API asks about clusters and Pods. Safe for concurrent use. What a user can put right is a
// *messages.Failure or a *messages.FieldError.
type Kubernetes interface {
	// Kubeconfig takes out of a kubeconfig what leads to the cluster of a context, the current one if none is named. It refuses
	// what would run a program or read a file here, and what is not secure, with the field's path.
	Kubeconfig(text, contextName string) (wire.Cluster, error)
	// Render is the Pod of an attempt as a manifest in YAML. Nothing is created.
	Render(cfg wire.K8sConfig, in wire.Inputs) ([]byte, error)
	// Check asks the cluster whether Pods of the config could run. cluster is nil for the one the server runs in. Nothing is
	// created.
	Check(ctx context.Context, cfg wire.K8sConfig, cluster *wire.Cluster) (wire.K8sCheck, error)
}

// k8sInput is what of a k8s config can be set. What is not sent stays; a new one needs name, cluster and namespace.
type k8sInput struct {
	Name    *string           `json:"name,omitempty"`
	Cluster *wire.ClusterKind `json:"cluster,omitempty"`
	// Kubeconfig is the text of such a file; it makes Cluster kubeconfig. It is kept sealed and never shown.
	Kubeconfig *string `json:"kubeconfig,omitempty"`
	// Context of the kubeconfig; its current one if none is named.
	Context         string                `json:"context,omitempty"`
	Namespace       *string               `json:"namespace,omitempty"`
	Namespaces      *[]string             `json:"namespaces,omitempty"`
	ServiceAccounts *[]string             `json:"service_accounts,omitempty"`
	PodTemplate     *messages.PodTemplate `json:"pod_template,omitempty"`
	RunnerImage     *string               `json:"runner_image,omitempty"`
	MaxPods         *int                  `json:"max_pods,omitempty"`
}

// renderedPod is a Pod as it would be created.
type renderedPod struct {
	Manifest string `json:"manifest"` // YAML
}

const (
	queryWorkspace = "workspace"
	queryPhase     = "phase"
)

// k8sRoutes are the calls about k8s configs: the pools whose tasks run in Pods. A config is named by its id or number.
func (s *Server) k8sRoutes() []route {
	const base = "/api/gantry/v1"
	const of, one = base + "/organizations/{organization}/k8s-configs", base + "/k8s-configs/{k8s}"
	return []route{
		{method: "GET", pattern: of, access: person, handle: s.listK8sConfigs, summary: "List the k8s configs of an organization (id or name)", out: []wire.K8sConfig{}},
		{method: "POST", pattern: of, access: person, handle: s.createK8sConfig, status: http.StatusCreated, create: true, in: k8sInput{}, out: wire.K8sConfig{},
			summary: "Create a k8s config. One that is reached in_cluster takes a site admin, because it uses the server's own ServiceAccount"},
		{method: "GET", pattern: one, access: person, handle: s.showK8sConfig, summary: "Show a k8s config, without its credentials", out: wire.K8sConfig{}},
		{method: "PATCH", pattern: one, access: person, handle: s.changeK8sConfig, summary: "Change a k8s config; runs that exist keep what they began with", in: k8sInput{}, out: wire.K8sConfig{}},
		{method: "DELETE", pattern: one, access: person, handle: s.deleteK8sConfig, summary: "Delete a k8s config that nothing uses, with its tokens"},
		{method: "POST", pattern: one + "/check", access: person, handle: s.checkK8sConfig, status: http.StatusOK, out: wire.K8sCheck{},
			summary: "Ask the cluster whether Pods of the config could run, and what is missing. Nothing is created"},
		{method: "GET", pattern: one + "/render", access: person, handle: s.renderPod, out: renderedPod{}, query: []string{queryWorkspace, queryPhase},
			summary: "Show the Pod of a task (phase plan or apply) of a workspace (id) as it would be created; without one, the Pod of the config alone"},
		{method: "GET", pattern: one + "/tokens", access: person, handle: s.listK8sTokens, summary: "List the tokens of a config's dispatchers, without their secrets", out: []shownToken{}},
		{method: "POST", pattern: one + "/tokens", access: person, handle: s.createK8sToken, status: http.StatusCreated, in: k8sTokenInput{}, out: newToken{},
			summary: "Create a token for a dispatcher near the cluster; its secret is in this answer and nowhere else"},
		{method: "DELETE", pattern: one + "/tokens/{dispatcher}", access: person, handle: s.revokeK8sToken, summary: "Revoke a token of a config's dispatchers"},

		{method: "GET", pattern: base + "/k8s-config", access: pool, handle: s.ownK8sConfig, summary: "Read the k8s config that the token is for", out: wire.K8sConfig{}},
	}
}

func (s *Server) listK8sConfigs(r *request) (reply, error) {
	all, err := s.db.K8sConfigs(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	return plain(all)
}

// k8sChange reads the body. The template is read strictly: what it does not know would be missing in the Pod.
func (s *Server) k8sChange(r *request) (postgres.K8sChange, error) {
	var in k8sInput
	var raw struct {
		PodTemplate json.RawMessage `json:"pod_template"`
	}
	if err := r.decode(&raw); err != nil {
		return postgres.K8sChange{}, err
	}
	if err := r.decode(&in); err != nil {
		return postgres.K8sChange{}, err
	}
	if len(raw.PodTemplate) > 0 && in.PodTemplate != nil {
		t, err := messages.ParsePodTemplate(raw.PodTemplate)
		if err != nil {
			return postgres.K8sChange{}, err
		}
		in.PodTemplate = &t
	}
	out := postgres.K8sChange{Name: in.Name, Namespace: in.Namespace, Namespaces: in.Namespaces, ServiceAccounts: in.ServiceAccounts,
		PodTemplate: in.PodTemplate, RunnerImage: in.RunnerImage, MaxPods: in.MaxPods}
	switch {
	case in.Kubeconfig != nil && in.Cluster != nil && *in.Cluster != wire.ClusterKubeconfig:
		return out, invalid("field kubeconfig: cluster %q takes none", *in.Cluster)
	case in.Kubeconfig != nil:
		c, err := s.clusters.Kubeconfig(*in.Kubeconfig, in.Context)
		if err != nil {
			return out, err
		}
		out.Access = &postgres.ClusterAccess{Kind: wire.ClusterKubeconfig, Credentials: &c}
	case in.Context != "":
		return out, invalid("field context: belongs to a kubeconfig, and none is sent")
	case in.Cluster != nil && *in.Cluster == wire.ClusterKubeconfig:
		return out, invalid("field kubeconfig: missing: cluster %q is reached by one", wire.ClusterKubeconfig)
	case in.Cluster != nil:
		out.Access = &postgres.ClusterAccess{Kind: *in.Cluster}
	}
	return out, nil
}

// mayUseOwnAccount refuses others than site admins where the server's own ServiceAccount would act for them.
func (r *request) mayUseOwnAccount(kinds ...wire.ClusterKind) error {
	for _, kind := range kinds {
		if kind == wire.ClusterIn && !r.token.Site() {
			return forbidden("a k8s config that is reached in_cluster uses the server's own ServiceAccount, which takes a site admin: use a kubeconfig, or a dispatcher of your own (cluster remote)")
		}
	}
	return nil
}

func (s *Server) createK8sConfig(r *request) (reply, error) {
	in, err := s.k8sChange(r)
	if err != nil {
		return reply{}, err
	}
	if in.Name == nil || in.Access == nil || in.Namespace == nil {
		return reply{}, invalid("a k8s config has a name, a cluster (in_cluster, remote, or a kubeconfig) and a namespace: the fields name, cluster and namespace")
	}
	if err := r.mayUseOwnAccount(in.Access.Kind); err != nil {
		return reply{}, err
	}
	c, err := s.db.CreateK8sConfig(r.Context(), r.PathValue("organization"), in)
	if err != nil {
		return reply{}, err
	}
	return plain(c)
}

func (s *Server) showK8sConfig(r *request) (reply, error) {
	c, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return reply{}, err
	}
	return plain(c)
}

func (s *Server) changeK8sConfig(r *request) (reply, error) {
	in, err := s.k8sChange(r)
	if err != nil {
		return reply{}, err
	}
	before, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return reply{}, err
	}
	after := before.Cluster
	if in.Access != nil {
		after = in.Access.Kind
	}
	if err := r.mayUseOwnAccount(before.Cluster, after); err != nil {
		return reply{}, err
	}
	c, err := s.db.UpdateK8sConfig(r.Context(), before.ID, in)
	if err != nil {
		return reply{}, err
	}
	return plain(c)
}

func (s *Server) deleteK8sConfig(r *request) (reply, error) {
	return reply{}, s.db.DeleteK8sConfig(r.Context(), r.PathValue("k8s"))
}

func (s *Server) checkK8sConfig(r *request) (reply, error) {
	c, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return reply{}, err
	}
	access, err := s.db.Cluster(r.Context(), c.ID)
	if err != nil {
		return reply{}, err
	}
	if access.Kind == wire.ClusterRemote {
		return reply{}, &messages.Failure{Code: messages.CodeConflict,
			Message: "the server does not reach the cluster of k8s config " + c.Name + ": check it where its dispatcher is"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkPatience)
	defer cancel()
	found, err := s.clusters.Check(ctx, c, access.Credentials)
	if err != nil {
		return reply{}, err
	}
	return plain(found)
}

func (s *Server) renderPod(r *request) (reply, error) {
	c, err := s.db.K8sConfig(r.Context(), r.PathValue("k8s"))
	if err != nil {
		return reply{}, err
	}
	phase := messages.PhasePlan
	if text := r.URL.Query().Get(queryPhase); text != "" {
		phase = messages.Phase(text)
	}
	if phase != messages.PhasePlan && phase != messages.PhaseApply {
		return reply{}, invalid("parameter phase: %q is not one of plan, apply", phase)
	}
	in, err := s.db.SampleInputs(r.Context(), c, r.URL.Query().Get(queryWorkspace), phase)
	if err != nil {
		return reply{}, err
	}
	manifest, err := s.clusters.Render(c, in)
	if err != nil {
		return reply{}, err
	}
	return plain(renderedPod{string(manifest)})
}

func (s *Server) ownK8sConfig(r *request) (reply, error) {
	c, err := s.db.K8sConfig(r.Context(), r.token.Pool())
	if err != nil {
		return reply{}, err
	}
	return plain(c)
}
