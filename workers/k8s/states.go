package k8s

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// podState is how far a Pod is, for who watches the dispatcher.
type podState string

const (
	stateGated         podState = "gated"         // its inputs are not all there: for longer than a moment it is an orphan
	statePending       podState = "pending"       // no node has it yet
	stateUnschedulable podState = "unschedulable" // and none can take it
	stateStarting      podState = "starting"      // on a node, pulling images and bringing the runner in
	stateRunning       podState = "running"
	stateEnding        podState = "ending"     // asked to end, and maybe still at work
	stateUnreported    podState = "unreported" // over, and the server does not know yet
	stateKept          podState = "kept"       // over and reported: for people to look at, until it is swept. The only state without a Secret
)

// podStates are all of them: a gauge says 0, too.
func podStates() []podState {
	return []podState{stateGated, statePending, stateUnschedulable, stateStarting, stateRunning, stateEnding, stateUnreported, stateKept}
}

func stateOf(pod *corev1.Pod) podState {
	switch {
	case terminal(pod) && pod.Annotations[AnnotationReported] != "":
		return stateKept
	case terminal(pod):
		return stateUnreported
	case pod.DeletionTimestamp != nil:
		return stateEnding
	case gated(pod):
		return stateGated
	case runnerStatus(pod) != nil && runnerStatus(pod).State.Running != nil:
		return stateRunning
	case pod.Spec.NodeName != "":
		return stateStarting
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return stateUnschedulable
		}
	}
	return statePending
}

// startedAt is when the runner of a Pod began, as the node says; zero if it has not.
func startedAt(pod *corev1.Pod) time.Time {
	switch c := runnerStatus(pod); {
	case c == nil:
	case c.State.Running != nil:
		return c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		return c.State.Terminated.StartedAt.Time
	}
	return time.Time{}
}

// endedAt is when the runner of a terminal Pod ended, as the node says.
func endedAt(pod *corev1.Pod) time.Time {
	if c := runnerStatus(pod); c != nil && c.State.Terminated != nil && !c.State.Terminated.FinishedAt.IsZero() {
		return c.State.Terminated.FinishedAt.Time
	}
	return pod.CreationTimestamp.Time
}

// census counts the Pods in each state, and says how long the oldest one that is over has not been reported.
func census(pods []*corev1.Pod, now time.Time) (states map[podState]int, unreported time.Duration) {
	states = map[podState]int{}
	for _, pod := range pods {
		s := stateOf(pod)
		states[s]++
		if s == stateUnreported {
			unreported = max(unreported, now.Sub(endedAt(pod)))
		}
	}
	return states, unreported
}
