package k8s

// Right is a verb on a resource of a namespace.
type Right struct{ Group, Resource, Verb string }

// Rights are all that a dispatcher needs in a namespace of Pods: what deploy/kubernetes grants, and what a check asks for.
func Rights() []Right {
	var out []Right
	for _, r := range []struct {
		group, resource string
		verbs           []string
	}{
		{"", "pods", []string{"get", "list", "watch", "create", "delete", "patch"}},
		{"", "configmaps", []string{"create", "delete"}},
		{"", "secrets", []string{"create", "delete"}},
		{"", "events", []string{"list"}},
		{"coordination.k8s.io", "leases", []string{"get", "create", "update"}}, // which dispatcher judges
	} {
		for _, verb := range r.verbs {
			out = append(out, Right{Group: r.group, Resource: r.resource, Verb: verb})
		}
	}
	return out
}
