package k8s

import "gantry.example/messages"

// Config is what an operator says once about a cluster: a k8s config, which is the pool of its tasks.
type Config struct {
	Pool        string               // kcfg-…
	Namespace   string               // where Pods go unless the execution document says otherwise
	Namespaces  []string             // others that the execution document may name
	Template    messages.PodTemplate // defaults of what the execution document leaves open
	RunnerImage string               // has gantry-runner and gantry-exec, statically linked, in its PATH; an init container brings them into the Pod
	Limit       int                  // Pods that may live at the same time
}
