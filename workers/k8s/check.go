package k8s

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/executor"
)

// Check asks the cluster behind client whether Pods of the config could run in its namespaces: may we, and would they be admitted. It
// creates nothing: what would be made is sent as a dry run, which goes through admission (quota, pod security, webhooks) as the real
// one would. It returns an error only where ctx ended.
func Check(ctx context.Context, client kubernetes.Interface, cfg Config) (wire.K8sCheck, error) {
	c := &checker{client: client, cfg: cfg}
	c.answers()
	if !c.failed {
		for _, namespace := range append([]string{cfg.Namespace}, cfg.Namespaces...) {
			c.namespace(ctx, namespace)
		}
	}
	return wire.K8sCheck{OK: !c.failed, Findings: c.found}, ctx.Err()
}

type checker struct {
	client kubernetes.Interface
	cfg    Config
	found  []wire.K8sFinding
	failed bool
}

func (c *checker) good(what, note string) {
	c.found = append(c.found, wire.K8sFinding{What: what, OK: true, Note: note})
}

func (c *checker) bad(what, problem, fix string) {
	c.failed = true
	c.found = append(c.found, wire.K8sFinding{What: what, Problem: problem, Fix: fix})
}

func (c *checker) answers() {
	const what = "the cluster answers"
	v, err := c.client.Discovery().ServerVersion()
	switch {
	case apierrors.IsUnauthorized(err):
		c.bad(what, "the cluster does not know the credentials: "+err.Error(), "Make a new token or certificate and give it with gantry k8s edit --kubeconfig FILE.")
	case err != nil:
		c.bad(what, err.Error(), "See that the server can reach the address of the cluster's API, and that certificate-authority-data is that of its certificate.")
	case older(v.Major, v.Minor):
		c.bad(what, "it is Kubernetes "+v.GitVersion, fmt.Sprintf("Pods of Gantry need 1.%d or newer.", oldestMinor))
	default:
		c.good(what, "Kubernetes "+v.GitVersion)
	}
}

// oldestMinor is the oldest Kubernetes whose Pods wait at a gate until their inputs are there, in its stable form.
const oldestMinor = 30

func older(major, minor string) bool {
	var n int
	if _, err := fmt.Sscanf(minor, "%d", &n); err != nil || major != "1" {
		return false // one that says nothing is tried
	}
	return n < oldestMinor
}

func (c *checker) namespace(ctx context.Context, namespace string) {
	if !c.rights(ctx, namespace) {
		return // the rest would only say the same again
	}
	if !c.pods(ctx, namespace) {
		return
	}
	c.inputs(ctx, namespace)
	c.pullSecrets(ctx, namespace)
	c.quota(ctx, namespace)
}

// rights asks for each right by itself, so that people learn which is missing.
func (c *checker) rights(ctx context.Context, namespace string) bool {
	what := "rights in namespace " + namespace
	var missing []string
	for _, r := range Rights() {
		ok, err := c.may(ctx, namespace, r)
		if err != nil {
			c.bad(what, err.Error(), "See that the cluster's API answers.")
			return false
		}
		if !ok {
			missing = append(missing, r.Verb+" "+r.Resource)
		}
	}
	if len(missing) > 0 {
		c.bad(what, "the credentials may not "+strings.Join(missing, ", "), "Bind the Role gantry-dispatcher of deploy/kubernetes/namespace.yaml in namespace "+namespace+" to who the credentials are.")
		return false
	}
	c.good(what, "")
	return true
}

func (c *checker) may(ctx context.Context, namespace string, r Right) (bool, error) {
	ask := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: r.Group, Resource: r.Resource, Verb: r.Verb},
	}}
	answer, err := c.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, ask, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// sample is the Pod of an attempt that does not exist.
func (c *checker) sample(namespace string, phase messages.Phase) (*corev1.Pod, error) {
	id := messages.NewID("att-check")
	cfg := c.cfg
	if cfg.Template.Image == "" {
		cfg.Template.Image = cfg.RunnerImage // documents will name one
	}
	return Build(cfg, executor.Attempt{Claim: wire.Claim{AttemptID: id, Inputs: wire.Inputs{
		AttemptID: id, Pool: cfg.Pool, Phase: phase, TaskID: "task-check", RunID: "run-check", WorkspaceID: "ws-check", OrganizationID: "org-check",
		Execution: messages.Execution{Mode: messages.ModeK8s, Namespace: namespace, PodTemplate: &cfg.Template},
	}}})
}

func (c *checker) pods(ctx context.Context, namespace string) bool {
	what := "Pods in namespace " + namespace
	for _, phase := range []messages.Phase{messages.PhasePlan, messages.PhaseApply} {
		pod, err := c.sample(namespace, phase)
		if err != nil {
			c.bad(what, err.Error(), "Correct the pod_template of the config: gantry k8s edit --pod-template FILE.")
			return false
		}
		if _, err = c.client.CoreV1().Pods(namespace).Create(ctx, pod, dryRun()); err != nil {
			v := ClassifyCreate(err)
			c.bad(fmt.Sprintf("%s (%s)", what, phase), v.Message, fixOf(err, namespace))
			return false
		}
	}
	c.good(what, "Pods of plans and applies would be admitted")
	return true
}

func dryRun() metav1.CreateOptions { return metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}} }

// fixOf is what to do about an API server that does not take a Pod.
func fixOf(err error, namespace string) string {
	text := err.Error()
	var status apierrors.APIStatus
	switch {
	case isQuota(err):
		return "Raise the ResourceQuota of namespace " + namespace + ", ask for less in pod_template.resources, or wait: Pods wait for quota by themselves."
	case strings.Contains(text, "violates PodSecurity"):
		return "Every Pod of Gantry fits the level restricted; something in the cluster changes it, such as a webhook, or the level is a stricter one of your own."
	case apierrors.IsNotFound(err) && strings.Contains(text, "namespaces"):
		return "Create it: kubectl apply -f deploy/kubernetes/namespace.yaml, with its name in place of gantry-runs."
	case strings.Contains(text, "serviceaccount"):
		return "Create the ServiceAccount in namespace " + namespace + ", or name another one in pod_template.service_account."
	case errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonInvalid:
		return "Correct the pod_template of the config: gantry k8s edit --pod-template FILE."
	default:
		return "The message is that of the cluster; who runs it knows the rule."
	}
}

// inputs are what is made beside a Pod: a quota may count them.
func (c *checker) inputs(ctx context.Context, namespace string) {
	what := "ConfigMaps and Secrets in namespace " + namespace
	meta := metav1.ObjectMeta{Name: PodName(messages.NewID("att-check")), Namespace: namespace}
	_, err := c.client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, dryRun())
	if err == nil {
		_, err = c.client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: meta}, dryRun())
	}
	if err != nil {
		c.bad(what, ClassifyCreate(err).Message, fixOf(err, namespace))
		return
	}
	c.good(what, "")
}

// pullSecrets finds out whether the Secrets are there without the right to read any: one of that name could be created only if not.
func (c *checker) pullSecrets(ctx context.Context, namespace string) {
	for _, name := range c.cfg.Template.ImagePullSecrets {
		what := fmt.Sprintf("image pull secret %s in namespace %s", name, namespace)
		_, err := c.client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}, dryRun())
		switch {
		case apierrors.IsAlreadyExists(err):
			c.good(what, "")
		case err == nil:
			c.bad(what, "it does not exist", fmt.Sprintf("kubectl create secret docker-registry %s --namespace %s --docker-server=… --docker-username=… --docker-password=…", name, namespace))
		default:
			c.bad(what, err.Error(), "See whether it is there: kubectl get secret "+name+" --namespace "+namespace+".")
		}
	}
}

// quota shows how much is left, where one may look.
func (c *checker) quota(ctx context.Context, namespace string) {
	what := "quota of namespace " + namespace
	all, err := c.client.CoreV1().ResourceQuotas(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		c.good(what, "not looked at: the credentials may not list resourcequotas, which they need not")
		return
	}
	var parts []string
	for _, q := range all.Items {
		for _, name := range []corev1.ResourceName{corev1.ResourcePods, "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"} {
			hard, limited := q.Status.Hard[name]
			if used := q.Status.Used[name]; limited {
				parts = append(parts, fmt.Sprintf("%s %s of %s", name, used.String(), hard.String()))
			}
		}
	}
	note := "none"
	if len(parts) > 0 {
		note = "used: " + strings.Join(parts, ", ")
	}
	c.good(what, note)
}
