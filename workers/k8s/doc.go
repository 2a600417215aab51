// Package k8s carries out attempts in Pods: one bare Pod per attempt, named after it, never restarted. It is the only home of client-go.
//
//	Pod behind our scheduling gate ─▶ ConfigMap (configuration) + Secret (assignment), owned by the Pod ─▶ gate removed ─▶ … ─▶ exit reported ─▶ deleted
//
// A crash at any point leaves at most a gated Pod, which the next dispatcher adopts or deletes with all that belongs to it.
//
//	config.go    what an operator says about a cluster
//	names.go     what the parts of a Pod are called: the contract between the builder, the executor and the runner in the Pod
//	pod.go       Config and attempt → Pod, pure
//	template.go  what a pod_template adds to it
//	kubeconfig.go, clusters.go, check.go, rights.go   what people ask about a cluster before a run depends on it
//	classify.go, rules.go, classify_create.go         what a Pod, or a refusal to make one, means
//	cluster.go   the clients, and the election of the dispatcher that judges
//	executor.go  the contract of package executor     create.go   Pod, ConfigMap, Secret, gate: each step may be the last
//	cache.go     what is there, as the cluster tells  exits.go    what became of Pods, and on what evidence
//	slim.go      what the cache keeps of a Pod
//	placing.go   claims of Pods that do not run yet   sweep.go    those that never will, and those that are over
package k8s
