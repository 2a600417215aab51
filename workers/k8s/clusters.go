package k8s

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// Clusters answers what people want to know about a k8s config before a run depends on it. Safe for concurrent use.
type Clusters struct {
	// RunnerImage is that of configs that name none.
	RunnerImage string
	// UserAgent is how the API server's audit log knows us.
	UserAgent string
}

// Kubeconfig is ParseKubeconfig.
func (c Clusters) Kubeconfig(text, contextName string) (wire.Cluster, error) {
	return ParseKubeconfig(text, contextName)
}

// ConfigOf is what a k8s config means to the builder and the executor; runnerImage is that of configs that name none.
func ConfigOf(cfg wire.K8sConfig, runnerImage string) Config {
	out := Config{Pool: cfg.ID, Namespace: cfg.Namespace, Namespaces: cfg.Namespaces, RunnerImage: runnerImage, Limit: cfg.MaxPods}
	if cfg.PodTemplate != nil {
		out.Template = *cfg.PodTemplate
	}
	if cfg.RunnerImage != "" {
		out.RunnerImage = cfg.RunnerImage
	}
	return out
}

// Render is the Pod of an attempt as a manifest. Nothing is created.
func (c Clusters) Render(cfg wire.K8sConfig, in wire.Inputs) ([]byte, error) {
	pod, err := Build(ConfigOf(cfg, c.RunnerImage), executor.Attempt{Claim: wire.Claim{AttemptID: in.AttemptID, Number: 1, Epoch: in.Epoch, Inputs: in}})
	var field *messages.FieldError
	switch {
	case errors.As(err, &field):
		return nil, err
	case err != nil:
		return nil, &messages.Failure{Code: messages.CodeExecutionInvalid, Message: err.Error()}
	}
	pod.APIVersion, pod.Kind = "v1", "Pod"
	return yaml.Marshal(pod)
}

// callPatience is how long the API server of a cluster has for one call.
const callPatience = 10 * time.Second

// RestConfig is how client-go reaches the cluster; nil is the one this process runs in.
func RestConfig(cluster *wire.Cluster, userAgent string) (*rest.Config, error) {
	if cluster == nil {
		cfg, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("this server does not run in a cluster: %w", err)
		}
		cfg.UserAgent = userAgent
		return cfg, nil
	}
	return &rest.Config{
		Host: cluster.Server, BearerToken: cluster.Token, UserAgent: userAgent,
		TLSClientConfig: rest.TLSClientConfig{ServerName: cluster.TLSServerName, CAData: cluster.CA, CertData: cluster.ClientCertificate, KeyData: cluster.ClientKey},
	}, nil
}

// Check asks the cluster whether Pods of the config could run, and creates nothing. cluster is nil for the one this process runs in.
func (c Clusters) Check(ctx context.Context, cfg wire.K8sConfig, cluster *wire.Cluster) (wire.K8sCheck, error) {
	how, err := RestConfig(cluster, c.UserAgent)
	if err != nil {
		return finding("the cluster", err.Error(), "Give the config a kubeconfig (gantry k8s edit --kubeconfig FILE), or run a dispatcher near the cluster."), nil
	}
	how.Timeout = callPatience
	client, err := kubernetes.NewForConfig(how)
	if err != nil {
		return wire.K8sCheck{}, err
	}
	return Check(ctx, client, ConfigOf(cfg, c.RunnerImage))
}

func finding(what, problem, fix string) wire.K8sCheck {
	return wire.K8sCheck{Findings: []wire.K8sFinding{{What: what, Problem: problem, Fix: fix}}}
}
