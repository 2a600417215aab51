package k8s

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// How long what may pass by itself is waited for.
const (
	patienceImageText = 30 * time.Second // a registry that says that there is no such image
	patienceImage     = 5 * time.Minute  // a registry that does not answer
	patienceNever     = time.Minute      // an image that is never pulled, and is not there
	patienceConfig    = time.Minute      // a container that cannot be made
	patienceCapacity  = 15 * time.Minute // no room on any node
	patienceSilent    = 5 * time.Minute  // a node that does nothing
)

// What registries say. A registry that is overloaded may answer with anything, so what passes is looked for first.
const (
	textPassing = `timeout|timed out|connection reset|connection refused|dial tcp|no such host|temporary failure|tls handshake|too ?many ?requests|\b429\b|\b5\d\d\b|: EOF\b|deadline exceeded`
	textForGood = `not found|manifest unknown|name unknown|unauthorized|authentication required|denied|forbidden|no match for platform|no matching manifest|invalid reference|not exist`
)

// Rules are the classification of Pods, first the rules for those that ended or are being ended.
func Rules() []Rule {
	var out []Rule
	for _, part := range [][]Rule{endedRules(), endingRules(), imageRules(), startRules()} {
		out = append(out, part...)
	}
	return out
}

// endedRules are for Pods that are gone or over.
func endedRules() []Rule {
	yes, no := new(true), new(false)
	over := []corev1.PodPhase{corev1.PodFailed, corev1.PodSucceeded}
	return []Rule{
		{Kind: Failed, Class: "infra.deleted", Again: true, Gone: true,
			Message: "The Pod was deleted by somebody else than Gantry."},
		{Kind: Failed, Class: "user.timed_out", PodReason: []string{"DeadlineExceeded"},
			Message: "The Pod ran longer than it may, and Kubernetes ended it. Raise timeouts of the execution document if it needs longer."},
		{Kind: Failed, Class: "user.oom", Began: yes, Terminated: []string{"OOMKilled"},
			Message: "It used more memory than its limit of {memory} and was killed. Raise pod_template.resources.limits.memory."},
		{Kind: Failed, Class: "infra.evicted", Again: true, Began: yes, PodReason: []string{"Evicted"},
			Message: "Node {node} evicted the Pod while it ran: {detail}. Ask for more in pod_template.resources.requests, of what it ran short of."},
		{Kind: Failed, Class: "infra.not_admitted", Again: true, Began: no, PodReason: []string{"Evicted", "NodeShutdown", "NodeAffinity", "UnexpectedAdmissionError", "Preempting", "Terminated",
			"OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage", "OutOfhugepages-2Mi"},
			Message: "Node {node} did not take the Pod: {detail}."},
		{Kind: Failed, Class: "infra.disrupted", Again: true, PodPhase: over, Condition: &PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			Message: "The cluster ended the Pod (drain, preemption, or a node that went away): {detail}."},
		{Kind: Failed, Class: "infra.nats", Again: true, ExitCodes: []int32{69},
			Message: "The runner did not reach the server from its Pod. See that the NetworkPolicy of namespace {namespace} lets it out to the server's address."},
		{Kind: Failed, Class: "platform.contract", ExitCodes: []int32{64},
			Message: "The runner did not understand what it was given, or its configuration is not what it should be. Dispatcher and runner image may be of different releases."},
		{Kind: Failed, Class: "duplicate.blocked", Again: true, ExitCodes: []int32{75},
			Message: "Another runner of the attempt was there first; nothing was executed by this one."},
		{Kind: Failed, Class: "user.stopped", ExitCodes: []int32{76, 130},
			Message: "It was stopped on request or at its limit."},
		{Kind: Failed, Class: "infra.terminated", Again: true, ExitCodes: []int32{143},
			Message: "The runner was asked to stop by the cluster, and stopped."},
		{Kind: Failed, Class: "user.oom", Began: yes, Deleting: no, ExitCodes: []int32{137},
			Message: "It was killed, most likely because its memory of {memory} was used up. Raise pod_template.resources.limits.memory."},
		{Kind: Failed, Class: "infra.node_lost", Again: true, PodPhase: over, Terminated: []string{"ContainerStatusUnknown"},
			Message: "Node {node} was lost and came back without knowing what became of the Pod."},
		{Kind: Failed, Class: "run.failed", Began: yes, ExitCodes: []int32{1},
			Message: "The run failed; its log says why."},
		{Kind: Failed, Class: "platform.internal", Began: yes, ExitCodes: []int32{70},
			Message: "The runner failed by itself; the Pod's log says how."},
		{Kind: Failed, Class: "protocol.no_result", Again: true, PodPhase: []corev1.PodPhase{corev1.PodSucceeded},
			Message: "The Pod ended without an error, and without the runner's word that the result was delivered."},
		{Kind: Failed, Class: "config.program", Began: no, PodPhase: []corev1.PodPhase{corev1.PodFailed},
			Message: "The Pod failed before its runner began, while the runner's program was brought into it. See runner_image of the k8s config: {detail}."},
		{Kind: Failed, Class: "infra.exited", Again: true, Began: yes, PodPhase: []corev1.PodPhase{corev1.PodFailed},
			Message: "The runner's process ended in a way it does not end by itself: {detail}."},
	}
}

// endingRules are for Pods that the cluster ends: what they still do counts, so they are waited for.
func endingRules() []Rule {
	disruption := func(reasons ...string) *PodCondition {
		return &PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reasons: reasons}
	}
	return []Rule{
		{Kind: Ending, Class: "ending.lost", Condition: disruption("DeletionByTaintManager", "DeletionByPodGC"),
			Message: "Node {node} went away or is being emptied, and the Pod with it: {detail}."},
		{Kind: Ending, Class: "ending.preempted", Condition: disruption("PreemptionByScheduler", "PreemptionByKubeScheduler"),
			Message: "Something of a higher priority takes the Pod's place on node {node}."},
		{Kind: Ending, Class: "ending.drained", Condition: disruption("EvictionByEvictionAPI"),
			Message: "Node {node} is being drained; the run stops in an orderly way."},
		{Kind: Ending, Class: "ending.shutdown", Condition: disruption("TerminationByKubelet"),
			Message: "Node {node} ends the Pod: it is shut down, or short of something. {detail}."},
		{Kind: Ending, Class: "ending.unreachable", Condition: &PodCondition{Type: corev1.PodReady, Status: corev1.ConditionUnknown},
			Message: "Node {node} is not heard of any more. Whether its Pod goes on nobody knows; it is waited for."},
		{Kind: Ending, Class: "ending.disrupted", Condition: disruption(),
			Message: "The cluster is about to end the Pod: {detail}."},
	}
}

// imageRules are for images.
func imageRules() []Rule {
	pulling := []string{"ErrImagePull", "ImagePullBackOff"}
	const fix = " See pod_template.image, and pod_template.image_pull_secrets if its registry wants to know who asks."
	return []Rule{
		{Kind: Failed, Class: "config.image", Waiting: []string{"InvalidImageName"},
			Message: "{image} is not the name of an image: {detail}." + fix},
		{Kind: Failed, Class: "config.image", Waiting: []string{"ErrImageNeverPull"}, After: patienceNever, Since: SinceStarted,
			Message: "Image {image} is not on node {node}, and the cluster is told not to pull it."},
		{Kind: Failed, Class: "infra.registry", Again: true, Waiting: pulling, Text: textPassing, After: patienceImage, Since: SinceStarted,
			Message: "Image {image} could not be pulled, because its registry does not answer well: {detail}."},
		{Kind: Waiting, Class: "waiting.image", Waiting: pulling, Text: textPassing,
			Message: "Image {image} can't be pulled now, because its registry does not answer well: {detail}."},
		{Kind: Failed, Class: "config.image", Waiting: pulling, Text: textForGood, After: patienceImageText, Since: SinceStarted,
			Message: "Image {image} can't be pulled: {detail}." + fix},
		{Kind: Failed, Class: "infra.registry", Again: true, Waiting: pulling, After: patienceImage, Since: SinceStarted,
			Message: "Image {image} could not be pulled: {detail}." + fix},
		{Kind: Waiting, Class: "waiting.image", Waiting: append(pulling, "ErrImageNeverPull", "RegistryUnavailable"),
			Message: "Image {image} can't be pulled now: {detail}."},
	}
}

// startRules are for Pods that have not begun yet.
func startRules() []Rule {
	no := new(false)
	making := []string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
	mounting := []string{"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"}
	unscheduled := func(reasons ...string) *PodCondition {
		return &PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reasons: reasons}
	}
	return []Rule{
		{Kind: Failed, Class: "config.container", Again: true, Waiting: making, Text: `(secret|configmap) ".*" not found`, After: patienceConfig, Since: SinceStarted,
			Message: "The Pod names something that namespace {namespace} does not have: {detail}. Create it, or take it out of pod_template."},
		{Kind: Failed, Class: "config.container", Waiting: making, After: patienceConfig, Since: SinceStarted,
			Message: "Node {node} can't make the Pod's container: {detail}."},
		{Kind: Waiting, Class: "waiting.container", Waiting: making,
			Message: "Node {node} can't make the Pod's container now: {detail}."},
		{Kind: Failed, Class: "config.volume", Began: no, Events: mounting, After: patienceImage, Since: SinceStarted,
			Message: "Node {node} can't give the Pod its volumes or network: {detail}. See pod_template.volumes."},
		{Kind: Waiting, Class: "waiting.volume", Began: no, Events: mounting,
			Message: "Node {node} has not given the Pod its volumes or network yet: {detail}."},
		{Kind: Failed, Class: "infra.unschedulable", Again: true, Condition: unscheduled("Unschedulable"), After: patienceCapacity, Since: SinceCreated,
			Message: "No node had room for the Pod for 15 minutes: {detail}. Ask for less in pod_template.resources.requests, allow more nodes, or add some."},
		{Kind: Waiting, Class: "waiting.capacity", Condition: unscheduled("Unschedulable"),
			Message: "No node has room for the Pod: {detail}."},
		{Kind: Failed, Class: "infra.node_silent", Again: true, Began: no, Silent: true, After: patienceSilent, Since: SinceCreated,
			Message: "Node {node} was given the Pod and did nothing with it."},
	}
}
