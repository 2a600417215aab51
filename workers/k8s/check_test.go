package k8s_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"gantry.example/internal/wire"
	"gantry.example/workers/k8s"
)

// cluster is one in which everything is in order but what a test says: rights that are denied, and what a dry run of a resource is
// answered with.
func cluster(t *testing.T, denied string, refuse map[string]error) *fake.Clientset {
	t.Helper()
	c := fake.NewClientset()
	c.PrependReactor("create", "selfsubjectaccessreviews", func(a ktesting.Action) (bool, runtime.Object, error) {
		review := a.(ktesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
		at := review.Spec.ResourceAttributes
		review.Status.Allowed = denied != at.Verb+" "+at.Resource
		return true, review, nil
	})
	for _, resource := range []string{"pods", "configmaps", "secrets"} {
		c.PrependReactor("create", resource, func(a ktesting.Action) (bool, runtime.Object, error) {
			create := a.(ktesting.CreateActionImpl)
			if len(create.CreateOptions.DryRun) != 1 {
				t.Errorf("a check created %s for real", resource)
			}
			if secret, ok := create.GetObject().(*corev1.Secret); ok && secret.Name == "registry" && refuse["pull"] != nil {
				return true, nil, refuse["pull"]
			}
			return true, create.GetObject(), refuse[resource]
		})
	}
	return c
}

func check(t *testing.T, c *fake.Clientset) wire.K8sCheck {
	t.Helper()
	cfg := config()
	cfg.Template.ImagePullSecrets = []string{"registry"}
	got, err := k8s.Check(context.Background(), c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCheck(t *testing.T) {
	t.Parallel()
	pods, secrets := schema.GroupResource{Resource: "pods"}, schema.GroupResource{Resource: "secrets"}
	there := apierrors.NewAlreadyExists(secrets, "registry")
	if got := check(t, cluster(t, "", map[string]error{"pull": there})); !got.OK {
		t.Errorf("everything in order: got %+v", got)
	}
	forbidden := func(text string) error { return apierrors.NewForbidden(pods, "x", errorText(text)) }
	for _, c := range []struct {
		denied        string
		refuse        map[string]error
		problem, mend string
	}{
		{"patch pods", nil, "may not patch pods", "Role gantry-dispatcher"},
		{"", map[string]error{"pods": forbidden("exceeded quota: iac")}, "quota of the namespace is used up", "ResourceQuota"},
		{"", map[string]error{"pods": forbidden(`violates PodSecurity "restricted:latest"`)}, "pod security", "webhook"},
		{"", map[string]error{"pods": forbidden("error looking up service account runs/x: serviceaccount \"x\" not found")}, "service account", "Create the ServiceAccount"},
		{"", map[string]error{"pods": apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "runs")}, "not found", "namespace.yaml"},
		{"", map[string]error{"configmaps": forbidden("exceeded quota: iac")}, "quota", "ResourceQuota"},
		{"", nil, "does not exist", "kubectl create secret docker-registry registry"},
	} {
		got := check(t, cluster(t, c.denied, c.refuse))
		bad := slices.IndexFunc(got.Findings, func(f wire.K8sFinding) bool { return !f.OK })
		if bad < 0 || got.OK {
			t.Errorf("%s %v: got nothing missing, want …%s…", c.denied, c.refuse, c.problem)
			continue
		}
		if f := got.Findings[bad]; !strings.Contains(f.Problem, c.problem) || !strings.Contains(f.Fix, c.mend) {
			t.Errorf("%s %v: got %+v, want …%s… and …%s…", c.denied, c.refuse, f, c.problem, c.mend)
		}
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }
