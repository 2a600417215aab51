package k8s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"gantry.example/workers/executor"
)

// How long a Pod is kept after its exit was reported, for people to look at, and how many of them at most: well below what makes
// the cluster itself delete some before anybody has read them.
const (
	keepSucceeded = 5 * time.Minute
	keepFailed    = time.Hour
	keepMost      = 1000
)

// Pods that do not start are looked at in detail after this time; what was made here and the cache does not know is, too.
const (
	patience      = 10 * time.Second
	cachePatience = time.Minute
)

// sweep judges the Pods that do not start, deletes those that nobody needs, and forgets. Only the executor that leads does it.
func (e *Executor) sweep(ctx context.Context) {
	var over []*corev1.Pod
	for _, pod := range e.pods.list() {
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Annotations[AnnotationReported] != "":
			over = append(over, pod)
		case !terminal(pod) && neverRan(pod) && !gated(pod) && time.Since(pod.CreationTimestamp.Time) > patience:
			e.judge(ctx, pod)
		}
	}
	e.clear(ctx, tooMany(over, time.Now()))
	e.forget(ctx)
}

// clear deletes Pods that are over, some at once: a busy dispatcher would not keep up with itself.
func (e *Executor) clear(ctx context.Context, pods []*corev1.Pod) {
	var deleting errgroup.Group
	deleting.SetLimit(notesAtOnce)
	for _, pod := range pods {
		if ctx.Err() != nil {
			break
		}
		deleting.Go(func() error {
			if err := e.remove(ctx, pod, nil); err != nil && ctx.Err() == nil {
				e.log.Warn("a Pod that is over was not deleted, trying again", "pod", pod.Name, "error", err)
			}
			return nil
		})
	}
	_ = deleting.Wait()
}

// tooMany are the Pods whose time is over, and of the others the oldest of whoever has most, until few enough are left.
func tooMany(pods []*corev1.Pod, now time.Time) (out []*corev1.Pod) {
	kept := map[string][]*corev1.Pod{} // by organization, oldest first
	count := 0
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Compare(a.Annotations[AnnotationReported], b.Annotations[AnnotationReported])
	})
	for _, pod := range pods {
		keep := keepFailed
		if pod.Status.Phase == corev1.PodSucceeded {
			keep = keepSucceeded
		}
		at, err := time.Parse(time.RFC3339, pod.Annotations[AnnotationReported])
		if err != nil || now.Sub(at) > keep {
			out = append(out, pod)
			continue
		}
		kept[pod.Labels[LabelTenant]] = append(kept[pod.Labels[LabelTenant]], pod)
		count++
	}
	for ; count > keepMost; count-- {
		most := ""
		for tenant, its := range kept {
			if len(its) > len(kept[most]) || len(its) == len(kept[most]) && tenant < most {
				most = tenant
			}
		}
		out = append(out, kept[most][0])
		kept[most] = kept[most][1:]
	}
	return out
}

// judge asks what a Pod that does not start waits for, and deletes one that will never start. Its exit has the reason.
func (e *Executor) judge(ctx context.Context, pod *corev1.Pod) {
	id := pod.Labels[LabelAttempt]
	v := e.cfg.Judge(Evidence{Pod: pod, Now: time.Now()})
	if v.Kind == "" && pod.Spec.NodeName != "" || v.Kind == Failed { // the events of its node may say more
		v = e.cfg.Judge(Evidence{Pod: pod, Events: e.events(ctx, pod), Now: time.Now()})
	}
	e.setWait(id, v.Message)
	if v.Kind != Failed {
		return
	}
	live, err := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil || live.UID != pod.UID || !neverRan(live) || terminal(live) {
		return // the cache was behind
	}
	e.discard(ctx, live, v)
}

// discard deletes a Pod that has never run, for the reason of the verdict, which is noted on it first: whoever leads when it is gone
// reports it.
func (e *Executor) discard(ctx context.Context, pod *corev1.Pod, v Verdict) {
	id := pod.Labels[LabelAttempt]
	e.mu.Lock()
	e.why[id] = v
	e.mu.Unlock()
	e.log.Info("Pod deleted before it began", append(refOf(pod).LogAttrs(), "pod", pod.Name, "class", v.Class, "reason", v.Message)...)
	reason, err := json.Marshal(v)
	if err == nil {
		err = e.annotate(ctx, pod, AnnotationReason, string(reason))
	}
	if err = errors.Join(err, e.remove(ctx, pod, nil)); err != nil {
		e.log.Warn("a Pod that can't begin was not deleted, trying again", "pod", pod.Name, "error", err)
	}
}

// events are those about the Pod; none if they can't be read, because they are for details only.
func (e *Executor) events(ctx context.Context, pod *corev1.Pod) []corev1.Event {
	list, err := e.cfg.Cluster.calls.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		ResourceVersion: "0", FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)).String(),
	})
	if err != nil {
		return nil
	}
	return list.Items
}

// forget drops what is remembered of exits of long ago, and finds Pods that were made here and vanished before the cache saw them.
func (e *Executor) forget(ctx context.Context) {
	var unseen []*corev1.Pod
	e.mu.Lock()
	for id, g := range e.over {
		if time.Since(g.at) > reportedFor && e.pods.byAttempt(id) == nil {
			delete(e.over, id)
			delete(e.started, id)
			delete(e.why, id)
		}
	}
	for id, m := range e.created {
		if time.Since(m.at) > cachePatience && e.creating[id] == 0 {
			unseen = append(unseen, m.pod)
		}
	}
	e.mu.Unlock()
	for _, pod := range unseen {
		if _, err := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{}); missing(err) {
			e.vanished(pod)
		}
	}
}

var _ executor.Watcher = (*Executor)(nil)
