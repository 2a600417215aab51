package chart_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"k8s.io/client-go/rest"

	"gantry.example/internal/kubetest"
)

// places are where the API server takes an object, by its kind; what has no namespace in its path has none.
func places() map[string]string {
	return map[string]string{
		"Namespace":             "/api/v1/namespaces",
		"Pod":                   "/api/v1/namespaces/{}/pods",
		"Secret":                "/api/v1/namespaces/{}/secrets",
		"Service":               "/api/v1/namespaces/{}/services",
		"ServiceAccount":        "/api/v1/namespaces/{}/serviceaccounts",
		"ResourceQuota":         "/api/v1/namespaces/{}/resourcequotas",
		"Deployment":            "/apis/apps/v1/namespaces/{}/deployments",
		"StatefulSet":           "/apis/apps/v1/namespaces/{}/statefulsets",
		"PodDisruptionBudget":   "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
		"Role":                  "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
		"RoleBinding":           "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
		"NetworkPolicy":         "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
		"Ingress":               "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
		"PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
	}
}

// server is an API server.
type server struct {
	url  string
	http *http.Client
}

// take creates an object; with a query of "dryRun=All" only so far as the API server says whether it would.
func (s server) take(t *testing.T, o object, query string) {
	t.Helper()
	place, ok := places()[o.text("kind")]
	if !ok {
		t.Fatalf("%s: the test does not know its place", o)
	}
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	url := s.url + string(bytes.ReplaceAll([]byte(place), []byte("{}"), []byte(o.text("metadata", "namespace")))) + "?fieldValidation=Strict&" + query
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var status object
	_ = json.Unmarshal(said, &status)
	if resp.StatusCode != http.StatusCreated {
		t.Errorf("%s is refused: %s", o, status.text("message"))
	}
	for _, w := range resp.Header.Values("Warning") {
		t.Errorf("%s comes with a warning: %s", o, w)
	}
}

// taken: field by field, and every Pod where the Pod Security Standard "restricted" is enforced.
func (c chart) taken(t *testing.T) {
	cluster := kubetest.Start(t)
	client, err := rest.HTTPClientFor(cluster.Rest())
	if err != nil {
		t.Fatal(err)
	}
	s := server{cluster.Rest().Host, client}
	for _, name := range []string{namespace, "runs-b"} { // what is there before an installation
		s.take(t, restricted(name), "")
	}
	for _, name := range variants() {
		for _, o := range c.rendered(t, name) {
			query := "dryRun=All"
			if o.text("kind") == "Namespace" {
				query = "" // the next ones are in it
			}
			s.take(t, o, query)
			if pod := podOf(o); pod != nil {
				s.take(t, pod, "dryRun=All")
			}
		}
	}
}

func restricted(name string) object {
	return object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
		"name": name, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"},
	}}
}

// podOf is what a Deployment or StatefulSet would make: of the workload itself Pod Security only warns.
func podOf(o object) object {
	template, ok := o.at("spec", "template").(map[string]any)
	if !ok {
		return nil
	}
	t := object(template)
	spec := map[string]any{}
	for k, v := range t.at("spec").(map[string]any) {
		spec[k] = v
	}
	if claims, ok := o.at("spec", "volumeClaimTemplates").([]any); ok {
		volumes, _ := spec["volumes"].([]any)
		for _, c := range claims {
			name := object(c.(map[string]any)).text("metadata", "name")
			volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name}})
		}
		spec["volumes"] = volumes
	}
	return object{"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": map[string]any{
		"name": o.text("metadata", "name") + "-0", "namespace": o.text("metadata", "namespace"), "labels": t.at("metadata", "labels"),
	}}
}
