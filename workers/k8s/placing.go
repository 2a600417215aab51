package k8s

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gantry.example/internal/wire"
)

// Claims keeps claims alive whose Pods take their time to start. It is called from one goroutine.
type Claims interface {
	Placing(ctx context.Context, attempts []wire.Placement) (wire.PlacingAnswer, error)
}

// Between two words about what is being placed, and how long one may take: the server gives a claim 30 s.
const (
	placingEvery = 5 * time.Second
	placingLimit = 5 * time.Second
)

// KeepClaims tells the server every few seconds which attempts are being placed, until ctx ends, and deletes the Pods of those that
// are over before they began. A gated Pod that nobody is making any more is only asked about: its claim ends, and then it goes.
func (e *Executor) KeepClaims(ctx context.Context, claims Claims) {
	tick := time.NewTicker(placingEvery)
	defer tick.Stop()
	for {
		if asked := e.placements(); len(asked) > 0 {
			limited, cancel := context.WithTimeout(ctx, placingLimit)
			answer, err := claims.Placing(limited, asked)
			cancel()
			if err == nil {
				e.heard(ctx, answer)
			} else if ctx.Err() == nil {
				e.log.Warn("claims were not kept alive, trying again", "attempts", len(asked), "error", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// placements are the attempts that may not have started yet: those made here, and, for who leads, all others.
func (e *Executor) placements() []wire.Placement {
	live := e.live()
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []wire.Placement
	for id := range e.creating {
		out = append(out, wire.Placement{AttemptID: id, Extend: true, Reason: e.waits[id]})
	}
	if !e.leads() {
		return out
	}
	for id, pod := range live {
		if e.creating[id] == 0 && !e.started[id] {
			out = append(out, wire.Placement{AttemptID: id, Extend: !gated(pod) && pod.DeletionTimestamp == nil, Reason: e.waits[id]})
		}
	}
	return out
}

func (e *Executor) heard(ctx context.Context, answer wire.PlacingAnswer) {
	e.mu.Lock()
	for _, id := range answer.Started {
		e.started[id] = true
	}
	e.mu.Unlock()
	for _, id := range answer.Closed {
		if pod := e.pods.byAttempt(id); pod != nil {
			e.withdraw(ctx, pod)
		}
	}
}

// withdraw deletes the Pod of an attempt that is over for the server, unless its runner is at work: one that ends right now is over
// for the server a moment earlier, and any other is for people to look at.
func (e *Executor) withdraw(ctx context.Context, pod *corev1.Pod) {
	live, err := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil || live.UID != pod.UID || terminal(live) || live.DeletionTimestamp != nil {
		return
	}
	if !neverRan(live) {
		if time.Since(runningSince(live)) > strangeAfter {
			e.metrics.strangers.Inc()
			e.log.Error("a Pod runs whose attempt is over for the server: nobody deletes it, look at it", append(refOf(pod).LogAttrs(), "pod", live.Namespace+"/"+live.Name)...)
			e.mu.Lock()
			e.started[pod.Labels[LabelAttempt]] = true // said once
			e.mu.Unlock()
		}
		return
	}
	e.discard(ctx, live, Verdict{Kind: Failed, Class: "withdrawn", Message: "the attempt was over before its Pod began", Again: true})
}

// strangeAfter is how long a runner may go on whose attempt is over.
const strangeAfter = 10 * time.Minute

func runningSince(pod *corev1.Pod) time.Time {
	if c := runnerStatus(pod); c != nil && c.State.Running != nil {
		return c.State.Running.StartedAt.Time
	}
	return time.Now()
}

// Placed counts the Pods that are not over, without those that are being made here right now.
func (e *Executor) Placed() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	placed := e.pods.count(func(pod *corev1.Pod) bool { return e.creating[pod.Labels[LabelAttempt]] == 0 })
	for id := range e.created {
		if e.creating[id] == 0 && e.unseen(id) {
			placed++
		}
	}
	return placed
}

// Pods that the scheduler finds no node for: so many of them, for so long, mean that another one would only wait too.
const (
	crowdedPods  = 10
	crowdedAfter = time.Minute
)

// Crowded reports that many Pods wait for a node already.
func (e *Executor) Crowded() error {
	waiting := e.pods.count(unschedulable)
	if waiting < crowdedPods {
		return nil
	}
	return fmt.Errorf("%d Pods of k8s config %s wait for a node: the cluster has no room", waiting, e.cfg.Config.Pool)
}

func unschedulable(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return time.Since(c.LastTransitionTime.Time) > crowdedAfter
		}
	}
	return false
}
