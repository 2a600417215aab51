// Package k8s carries out attempts in Pods: one bare Pod per attempt, named after it, never restarted. It is the only home of client-go.
//
//	Pod behind our scheduling gate ─▶ ConfigMap (configuration) + Secret (assignment), owned by the Pod ─▶ gate removed ─▶ … ─▶ exit reported ─▶ deleted
//
// A crash at any point leaves at most a gated Pod, which the next dispatcher adopts or deletes with all that belongs to it.
//
//	config.go    what an operator says about a cluster
//	names.go     what the parts of a Pod are called: the contract between the builder, the executor and the runner in the Pod
//	pod.go       Config and attempt → Pod, pure
package k8s
