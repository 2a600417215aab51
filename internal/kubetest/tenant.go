package kubetest

import (
	"context"
	"os"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// shipped is the name that the manifest of a tenant's namespace has in the place of that namespace's, and the dispatcher's account.
const (
	shippedNamespace = "gantry-runs"
	shippedAccount   = "gantry-dispatcher"
)

// Tenant makes a namespace as the manifest in the file says, under another name, and returns the file of a kubeconfig with the rights
// of the dispatcher in it and no others.
func (n *Node) Tenant(manifest, namespace string) string {
	n.t.Helper()
	text, err := os.ReadFile(manifest)
	n.must(err)
	client := n.client()
	for _, doc := range strings.Split(strings.ReplaceAll(string(text), "namespace: "+shippedNamespace, "namespace: "+namespace), "\n---\n") {
		var object metav1.PartialObjectMetadata
		n.must(yaml.Unmarshal([]byte(doc), &object))
		if object.Kind == "Namespace" {
			doc = strings.ReplaceAll(doc, shippedNamespace, namespace)
		}
		body, err := yaml.YAMLToJSON([]byte(doc))
		n.must(err)
		path := map[string]string{
			"Namespace": "/api/v1/namespaces", "ServiceAccount": "/api/v1/namespaces/" + namespace + "/serviceaccounts",
			"ResourceQuota": "/api/v1/namespaces/" + namespace + "/resourcequotas", "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/" + namespace + "/networkpolicies",
			"PodDisruptionBudget": "/apis/policy/v1/namespaces/" + namespace + "/poddisruptionbudgets",
			"Role":                "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/roles",
			"RoleBinding":         "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/rolebindings",
		}[object.Kind]
		if path == "" {
			n.t.Fatalf("kubetest: %s has a %s, which is not known here", manifest, object.Kind)
		}
		if err := client.CoreV1().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body).Do(n.t.Context()).Error(); !apierrors.IsAlreadyExists(err) {
			n.must(err)
		}
	}
	n.await("the ServiceAccount of namespace "+namespace, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(n.t.Context(), shippedAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	n.must(err)
	path, err := n.pki.tokenKubeconfig(namespace, n.url, token.Status.Token)
	n.must(err)
	return path
}

func (c *Cluster) client() *kubernetes.Clientset {
	c.t.Helper()
	client, err := kubernetes.NewForConfig(c.Rest())
	c.must(err)
	return client
}

// Quota sets one limit of a ResourceQuota.
func (c *Cluster) Quota(namespace, name, what, limit string) {
	c.t.Helper()
	quotas := c.client().CoreV1().ResourceQuotas(namespace)
	c.await("the quota to be set", func(ctx context.Context) error { // its controller changes it too
		quota, err := quotas.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		quota.Spec.Hard[corev1.ResourceName(what)] = resource.MustParse(limit)
		_, err = quotas.Update(ctx, quota, metav1.UpdateOptions{})
		return err
	})
}

// DeletePods deletes the Pods with the labels as anybody does who drains a node, and does not wait.
func (c *Cluster) DeletePods(namespace, labels string) {
	c.t.Helper()
	pods := c.client().CoreV1().Pods(namespace)
	c.await("Pods to be deleted", func(ctx context.Context) error {
		return pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: labels})
	})
}

// Pods counts the Pods with the labels.
func (c *Cluster) Pods(namespace, labels string) (count int) {
	c.t.Helper()
	pods := c.client().CoreV1().Pods(namespace)
	c.await("a list of Pods", func(ctx context.Context) error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: labels})
		if err == nil {
			count = len(list.Items)
		}
		return err
	})
	return count
}

// Contents counts what is in a namespace: Pods by phase, ConfigMaps and Secrets that are not Kubernetes' own.
func (c *Cluster) Contents(namespace string) map[string]int {
	c.t.Helper()
	out := map[string]int{}
	core := c.client().CoreV1()
	pods, err := core.Pods(namespace).List(c.t.Context(), metav1.ListOptions{})
	c.must(err)
	for _, pod := range pods.Items {
		out[string(pod.Status.Phase)]++
	}
	maps, err := core.ConfigMaps(namespace).List(c.t.Context(), metav1.ListOptions{})
	c.must(err)
	for _, m := range maps.Items {
		if m.Name != "kube-root-ca.crt" {
			out["ConfigMap"]++
		}
	}
	secrets, err := core.Secrets(namespace).List(c.t.Context(), metav1.ListOptions{})
	c.must(err)
	out["Secret"] += len(secrets.Items)
	return out
}
