package k8s

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Evidence is what the cluster shows of an attempt's Pod. Events are those about the Pod, in any order; they may be missing.
type Evidence struct {
	Pod    *corev1.Pod
	Events []corev1.Event
	Now    time.Time
}

// Kind says what a verdict asks for.
type Kind string

// The kinds. The zero value is a Pod that has nothing to be said about.
const (
	Waiting Kind = "waiting" // it cannot go on now, and people may want to know why
	Ending  Kind = "ending"  // it is being ended by the cluster; what it is still doing counts, so it is waited for
	Failed  Kind = "failed"  // it will never begin, or is over: to be reported and cleaned up
)

// Verdict is what the evidence means: a row of the classification. No verdict is a success: that only a delivered result tells.
type Verdict struct {
	Kind    Kind   `json:"kind"`
	Class   string `json:"class"`           // "config.image", for metrics
	Message string `json:"message"`         // for people: what happened, to which object, and what to do
	Again   bool   `json:"again,omitempty"` // a failed Pod that never began may be followed by another
}
