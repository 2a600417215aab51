package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// ClusterKind says how a k8s config's cluster is reached.
type ClusterKind = wire.ClusterKind

// The kinds.
const (
	ClusterIn         = wire.ClusterIn
	ClusterKubeconfig = wire.ClusterKubeconfig
	ClusterRemote     = wire.ClusterRemote
)

// K8sConfig is where the Pods of a pool run and what they are by default.
type K8sConfig = wire.K8sConfig

// K8sCheck is what a cluster says about a config.
type K8sCheck = wire.K8sCheck

// K8sChange is what of a k8s config can be set; nil leaves it as it is. A new one needs name, namespace and a way to its cluster.
type K8sChange struct {
	Name            *string           `json:"name,omitempty"`
	Cluster         *wire.ClusterKind `json:"cluster,omitempty"`
	Kubeconfig      *string           `json:"kubeconfig,omitempty"` // the text of the file
	Context         string            `json:"context,omitempty"`
	Namespace       *string           `json:"namespace,omitempty"`
	Namespaces      *[]string         `json:"namespaces,omitempty"`
	ServiceAccounts *[]string         `json:"service_accounts,omitempty"`
	PodTemplate     any               `json:"pod_template,omitempty"` // what the server refuses it names
	RunnerImage     *string           `json:"runner_image,omitempty"`
	MaxPods         *int              `json:"max_pods,omitempty"`
}

func k8sPath(id string) string { return "/k8s-configs/" + url.PathEscape(id) }

func k8sOf(organization string) string {
	return "/organizations/" + url.PathEscape(organization) + "/k8s-configs"
}

// K8sConfigs lists the configs of an organization.
func (c *Client) K8sConfigs(ctx context.Context, organization string) ([]K8sConfig, error) {
	var out []K8sConfig
	err := c.json(ctx, http.MethodGet, k8sOf(organization), nil, &out)
	return out, err
}

// CreateK8sConfig creates a config. A name that is taken is refused.
func (c *Client) CreateK8sConfig(ctx context.Context, organization string, in K8sChange) (K8sConfig, error) {
	var out K8sConfig
	err := c.json(ctx, http.MethodPost, k8sOf(organization), in, &out)
	return out, err
}

// UpdateK8sConfig changes a config (id or number).
func (c *Client) UpdateK8sConfig(ctx context.Context, id string, in K8sChange) (K8sConfig, error) {
	var out K8sConfig
	err := c.json(ctx, http.MethodPatch, k8sPath(id), in, &out)
	return out, err
}

// DeleteK8sConfig deletes a config that nothing uses.
func (c *Client) DeleteK8sConfig(ctx context.Context, id string) error {
	return c.json(ctx, http.MethodDelete, k8sPath(id), nil, nil)
}

// CheckK8sConfig asks the cluster of a config whether Pods could run there.
func (c *Client) CheckK8sConfig(ctx context.Context, id string) (K8sCheck, error) {
	var out K8sCheck
	err := c.json(ctx, http.MethodPost, k8sPath(id)+"/check", nil, &out)
	return out, err
}

// RenderPod returns the manifest of the Pod of a task of a workspace (id), as it would be created.
func (c *Client) RenderPod(ctx context.Context, id, workspaceID string, phase messages.Phase) (string, error) {
	var out struct {
		Manifest string `json:"manifest"`
	}
	q := url.Values{"workspace": {workspaceID}, "phase": {string(phase)}}
	err := c.json(ctx, http.MethodGet, k8sPath(id)+"/render?"+q.Encode(), nil, &out)
	return out.Manifest, err
}

// K8sTokens lists the tokens of a config's dispatchers, without their secrets.
func (c *Client) K8sTokens(ctx context.Context, id string) ([]Token, error) {
	var out []Token
	err := c.json(ctx, http.MethodGet, k8sPath(id)+"/tokens", nil, &out)
	return out, err
}

// CreateK8sToken creates a token for dispatchers of the config. A life of 0 does not end.
func (c *Client) CreateK8sToken(ctx context.Context, id, description string, life time.Duration) (Token, error) {
	in := map[string]any{"description": description}
	if life > 0 {
		in["expires_in"] = life.String()
	}
	var out Token
	err := c.json(ctx, http.MethodPost, k8sPath(id)+"/tokens", in, &out)
	return out, err
}

// RevokeK8sToken makes a token worthless.
func (c *Client) RevokeK8sToken(ctx context.Context, id, token string) error {
	return c.json(ctx, http.MethodDelete, k8sPath(id)+"/tokens/"+url.PathEscape(token), nil, nil)
}
