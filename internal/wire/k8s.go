package wire

import (
	"time"

	"gantry.example/messages"
)

// ClusterKind says how a k8s config's cluster is reached.
type ClusterKind string

// The kinds.
const (
	ClusterIn         ClusterKind = "in_cluster" // the one the server runs in, as the server's own ServiceAccount
	ClusterKubeconfig ClusterKind = "kubeconfig" // by credentials that the server keeps
	ClusterRemote     ClusterKind = "remote"     // by a dispatcher near it, which has credentials of its own
)

// K8sConfig is where the Pods of a pool run and what they are by default. The server's answers have it, and a dispatcher
// reads its own: GET /api/gantry/v1/k8s-config with a pool token. It has no credentials.
type K8sConfig struct {
	ID           string      `json:"id"`
	Number       int64       `json:"number"` // names the config wherever an id does
	Name         string      `json:"name"`
	Organization string      `json:"organization"` // its name
	Cluster      ClusterKind `json:"cluster"`
	Server       string      `json:"server,omitempty"` // address of the cluster's API, of a kubeconfig
	Namespace    string      `json:"namespace"`        // of Pods that name none
	// Namespaces and ServiceAccounts are what an execution document may name besides those of the config itself.
	Namespaces      []string              `json:"namespaces,omitempty"`
	ServiceAccounts []string              `json:"service_accounts,omitempty"`
	PodTemplate     *messages.PodTemplate `json:"pod_template,omitempty"` // what documents do not say themselves
	// RunnerImage has the runner's program, which an init container brings into every Pod; empty: that of the dispatcher.
	RunnerImage string `json:"runner_image,omitempty"`
	MaxPods     int    `json:"max_pods"` // in flight at the same time
	// Version is another one after each change.
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"created_at"`
}

// Cluster leads to the API of a cluster: what is left of a kubeconfig. It is a secret.
type Cluster struct {
	Server            string `json:"server"`
	TLSServerName     string `json:"tls_server_name,omitempty"`
	CA                []byte `json:"ca,omitempty"` // PEM; empty: whom the operating system trusts
	Token             string `json:"token,omitempty"`
	ClientCertificate []byte `json:"client_certificate,omitempty"` // PEM
	ClientKey         []byte `json:"client_key,omitempty"`         // PEM
}

// K8sCheck is what a cluster says about a config.
type K8sCheck struct {
	OK       bool         `json:"ok"`
	Findings []K8sFinding `json:"findings"` // in the order in which they are best put right
}

// K8sFinding is one thing that was looked at.
type K8sFinding struct {
	What    string `json:"what"`
	OK      bool   `json:"ok"`
	Note    string `json:"note,omitempty"`    // of what is in order, or could not be looked at
	Problem string `json:"problem,omitempty"` // in the words of the cluster where it says so
	Fix     string `json:"fix,omitempty"`     // what to do about it
}
