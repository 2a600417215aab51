package k8s

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

// terminal reports whether nothing of the Pod runs any more. Its phase alone does not say so: a Pod of a node that is gone is
// failed for the API server while its containers may still write.
func terminal(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
		return false
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			return false
		}
	}
	return true
}

// runnerStatus is the status of the container that carries the attempt out, or nil.
func runnerStatus(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == ContainerRunner {
			return c
		}
	}
	return nil
}

// neverRan reports whether the runner has not been executed, by what the Pod says.
func neverRan(pod *corev1.Pod) bool {
	c := runnerStatus(pod)
	return c == nil || c.State.Waiting != nil && c.LastTerminationState.Terminated == nil
}

// firstSignal is added to the number of a signal that ends a process, to make its exit code.
const firstSignal = 128

// exitOf is how the runner of a terminal Pod ended. Only its own termination message tells of a delivered result: a program that
// is evicted and traps the signal exits with 0 too.
func exitOf(pod *corev1.Pod) executor.Exit {
	x := executor.Exit{Ref: refOf(pod), Code: executor.CodeUnknown}
	c := runnerStatus(pod)
	if c == nil || c.State.Terminated == nil {
		x.NotBegun = neverRan(pod)
		return x
	}
	if said, ok := runner.ReadTermination(c.State.Terminated.Message); ok && said.Delivered {
		x.Code = executor.CodeDelivered
	} else {
		x.NotBegun = said.NotBegun
		if code := int(c.State.Terminated.ExitCode); code > 0 && code < firstSignal {
			x.Code = code
		}
	}
	return x
}

// watched is told what the cluster's watch shows. How long a Pod took to start is seen once, by who leads.
func (e *Executor) watched(before, pod *corev1.Pod) {
	if at := startedAt(pod); e.leads() && before != nil && startedAt(before).IsZero() && !at.IsZero() {
		e.metrics.starting.Observe(at.Sub(pod.CreationTimestamp.Time).Seconds())
	}
	e.changed(pod)
	if terminal(pod) {
		e.free()
	}
}

// changed looks at a Pod that is new or different.
func (e *Executor) changed(pod *corev1.Pod) {
	id := pod.Labels[LabelAttempt]
	e.mu.Lock()
	delete(e.created, id)
	e.mu.Unlock()
	if !e.leads() || !terminal(pod) || pod.Annotations[AnnotationReported] != "" {
		return
	}
	x := exitOf(pod)
	if x.Code != executor.CodeDelivered {
		x = e.explain(x, pod, Evidence{Pod: pod, Now: time.Now()})
	}
	e.ended(x)
}

// reason is why we, or a dispatcher that led before, deleted a Pod before it began; false if nobody did. A kubelet shows the containers
// of such a Pod as ended, as if they had run.
func (e *Executor) reason(pod *corev1.Pod) (v Verdict, ours bool) {
	e.mu.Lock()
	v, ours = e.why[pod.Labels[LabelAttempt]]
	e.mu.Unlock()
	if noted := pod.Annotations[AnnotationReason]; !ours && noted != "" {
		ours = json.Unmarshal([]byte(noted), &v) == nil
	}
	return v, ours
}

// explain adds what people are to know about an exit: why we deleted the Pod, if we did, else what the evidence means.
func (e *Executor) explain(x executor.Exit, pod *corev1.Pod, seen Evidence) executor.Exit {
	v, ours := e.reason(pod)
	if !ours {
		v = e.cfg.Judge(seen)
	}
	if ours || x.Message == "" {
		x.Message = v.Message
	}
	if c := runnerStatus(pod); c != nil && c.State.Terminated != nil {
		if said, ok := runner.ReadTermination(c.State.Terminated.Message); ok && said.Message != "" {
			x.Message += " It said: " + said.Message + "."
		}
	}
	x.Final = v.Kind == Failed && !v.Again && (ours || neverRan(pod))
	e.metrics.failures.WithLabelValues(v.Class).Inc()
	return x
}

// ended queues an exit for its report, once.
func (e *Executor) ended(x executor.Exit) {
	e.mu.Lock()
	_, known := e.over[x.AttemptID]
	if !known {
		e.over[x.AttemptID] = gone{executor.Status{State: executor.Exited, Code: x.Code}, time.Now()}
	}
	e.mu.Unlock()
	if !known {
		e.exits.Add(x)
	}
}

// vanished looks after a Pod that was deleted, by us or by anybody else.
func (e *Executor) vanished(pod *corev1.Pod) {
	id := pod.Labels[LabelAttempt]
	e.mu.Lock()
	delete(e.created, id)
	e.mu.Unlock()
	e.free()
	if !e.leads() || pod.Annotations[AnnotationReported] != "" || e.ctx.Err() != nil {
		return
	}
	e.wg.Go(func() { e.confirmGone(pod) })
}

// confirmGone asks the API server itself before it takes an attempt for over.
func (e *Executor) confirmGone(pod *corev1.Pod) {
	for {
		now, err := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Get(e.ctx, pod.Name, metav1.GetOptions{})
		if err == nil && now.UID == pod.UID {
			return // it is there, and the cache will learn it
		}
		if err == nil || missing(err) {
			break
		}
		timer := time.NewTimer(retryTransient)
		select {
		case <-timer.C:
		case <-e.ctx.Done():
			timer.Stop()
			return
		}
	}
	x := executor.Exit{Ref: refOf(pod), Code: executor.CodeUnknown, NotBegun: neverRan(pod), Message: "its Pod " + pod.Namespace + "/" + pod.Name + " was deleted"}
	seen := Evidence{Now: time.Now()}
	if terminal(pod) {
		x, seen.Pod = exitOf(pod), pod
	}
	if x.Code != executor.CodeDelivered {
		x = e.explain(x, pod, seen)
	}
	e.ended(x)
}
