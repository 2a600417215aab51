package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gantry.example/workers/executor"
)

// maxInline is how large a configuration may be to travel in a ConfigMap, which may have 1 MiB in all.
const maxInline = 900 << 10

// Between two tries of what the API server did not do for a passing reason.
const (
	retryTransient = time.Second
	retryQuota     = 5 * time.Second

	// doubtful is how long a right that the dispatcher lacks is asked for again: an API server that starts refuses everything that
	// roles permit until it has read them, in the words of one that has.
	doubtful = 30 * time.Second
)

// place makes the Pod of an attempt, or goes on with one that is there: Pod behind our gate, ConfigMap and Secret that belong to
// it, gate removed. A crash in between leaves a gated Pod that deletes all that belongs to it.
func (e *Executor) place(ctx context.Context, a executor.Attempt) error {
	want, err := Build(e.cfg.Config, a)
	if err != nil {
		return &executor.PlacementError{Message: err.Error() + ".", Err: err}
	}
	began := time.Now()
	var archive []byte
	var digest string
	if err := e.insist(ctx, a.AttemptID, func() (err error) {
		archive, digest, err = e.cfg.Configurations.Configuration(ctx, a, maxInline)
		return err
	}); err != nil {
		return err
	}
	var pod *corev1.Pod
	if err := e.insist(ctx, a.AttemptID, func() (err error) {
		pod, err = e.create(ctx, want)
		return err
	}); err != nil {
		return err
	}
	e.cfg.Passed("dispatcher.pod_created")
	e.mu.Lock()
	e.created[a.AttemptID] = made{pod, time.Now()}
	e.mu.Unlock()
	if terminal(pod) || !gated(pod) {
		e.metrics.adopted.Inc()
		return nil
	}
	if err := e.insist(ctx, a.AttemptID, func() error { return e.equip(ctx, pod, a, archive, digest) }); err != nil {
		return errors.Join(err, e.remove(context.WithoutCancel(ctx), pod, nil))
	}
	e.cfg.Passed("dispatcher.inputs_created")
	if err := e.insist(ctx, a.AttemptID, func() error { return e.openGate(ctx, pod) }); err != nil {
		return err
	}
	e.cfg.Passed("dispatcher.ungated")
	e.metrics.placing.Observe(time.Since(began).Seconds())
	return nil
}

// insist tries until it is done, refused for good, or ctx ends. Meanwhile people can read what is waited for.
func (e *Executor) insist(ctx context.Context, attemptID string, try func() error) error {
	began := time.Now()
	for {
		err := try()
		if err == nil {
			e.setWait(attemptID, "")
			return nil
		}
		pause, why := retryOf(err, time.Since(began))
		if pause == 0 {
			if v := ClassifyCreate(err); v.Kind == Failed && !v.Again {
				e.metrics.failures.WithLabelValues(v.Class).Inc()
			}
			return err
		}
		e.metrics.refused.WithLabelValues(string(apierrors.ReasonForError(err))).Inc()
		e.setWait(attemptID, why)
		e.log.Debug("placing an attempt: trying again", "attempt", attemptID, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-e.ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// retryOf says after which pause what failed, and was tried for so long, is tried again, 0 for never, and what people read meanwhile.
func retryOf(err error, tried time.Duration) (pause time.Duration, why string) {
	var placement *executor.PlacementError
	final := errors.As(err, &placement)
	switch v := ClassifyCreate(err); {
	case lacksRight(err) && tried < doubtful:
		return retryTransient, v.Message
	case final:
		return 0, ""
	case v.Kind == Waiting:
		return retryQuota, v.Message
	case v.Again:
		return retryTransient, v.Message
	}
	return 0, ""
}

// create makes the Pod or finds the one that was made before.
func (e *Executor) create(ctx context.Context, want *corev1.Pod) (*corev1.Pod, error) {
	pods := e.cfg.Cluster.calls.CoreV1().Pods(want.Namespace)
	pod, err := pods.Create(ctx, want, metav1.CreateOptions{FieldManager: ManagedBy})
	if err == nil {
		return pod, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, e.refusal(err)
	}
	found, err := pods.Get(ctx, want.Name, metav1.GetOptions{}) // live: the cache may not have it yet
	if err != nil {
		return nil, e.refusal(err)
	}
	if found.Labels[LabelAttempt] != want.Labels[LabelAttempt] || found.Annotations[AnnotationSpecHash] != want.Annotations[AnnotationSpecHash] {
		return nil, &executor.PlacementError{Message: fmt.Sprintf(
			"Pod %s/%s is there already and is none of ours: find out who made it, and delete it.", want.Namespace, want.Name)}
	}
	return found, nil
}

// refusal tells what the API server refused for good from what it may do later.
func (e *Executor) refusal(err error) error {
	v := ClassifyCreate(err)
	if v.Kind != Failed || v.Again {
		return err
	}
	return &executor.PlacementError{Err: err, Message: v.Message + " Change the pod_template, or ask whoever looks after the cluster."}
}

// equip makes what the Pod mounts. What is there already was made for the same attempt; an earlier token stays good.
func (e *Executor) equip(ctx context.Context, pod *corev1.Pod, a executor.Attempt, archive []byte, digest string) error {
	meta := metav1.ObjectMeta{
		Name: pod.Name, Namespace: pod.Namespace,
		Labels: map[string]string{LabelManagedBy: ManagedBy, LabelPool: pod.Labels[LabelPool], LabelAttempt: a.AttemptID},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, BlockOwnerDeletion: new(false),
		}},
	}
	inputs := &corev1.ConfigMap{ObjectMeta: meta, Immutable: new(true), Data: map[string]string{KeyDigest: digest}}
	if archive != nil {
		inputs.BinaryData = map[string][]byte{KeyConfiguration: archive}
	}
	told, err := json.Marshal(e.assignment(a, pod))
	if err != nil {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: meta, Immutable: new(true), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{KeyAssignment: told}}
	core := e.cfg.Cluster.calls.CoreV1()
	create := func(err error) error {
		if err == nil || apierrors.IsAlreadyExists(err) {
			return nil
		}
		return e.refusal(err)
	}
	var both errgroup.Group // neither needs the other: a Pod is ready a call sooner
	both.Go(func() error {
		_, err := core.ConfigMaps(pod.Namespace).Create(ctx, inputs, metav1.CreateOptions{})
		return create(err)
	})
	both.Go(func() error {
		_, err := core.Secrets(pod.Namespace).Create(ctx, secret, metav1.CreateOptions{})
		return create(err)
	})
	return both.Wait()
}

// graceMargin is what of a Pod's grace period is left to the runner, after terraform's, to deliver what there is.
const graceMargin = 20 * time.Second

// assignment is what the runner in the Pod is told. The values of variables are not among it: they stay out of the cluster.
func (e *Executor) assignment(a executor.Attempt, pod *corev1.Pod) any {
	told := e.cfg.Assignment
	told.Claim = a.Claim
	told.Claim.Inputs.Variables = nil
	told.Dir, told.CacheDir, told.Configuration = PathWork+"/"+a.AttemptID, PathWork+"/cache", PathInputs
	if grace := pod.Spec.TerminationGracePeriodSeconds; grace != nil {
		told.Grace = max(time.Duration(*grace)*time.Second-graceMargin, time.Second)
	}
	return told
}

// openGate removes our gate by its value: others may have gates of their own on the Pod. It also has the API server stop to note who
// set which field, as that documents for a list with one empty entry, until somebody applies one: nobody asks who set what in a Pod
// that is never configured again, and the notes on every word of kubelet and dispatcher were a quarter of what a Pod cost the API server.
func (e *Executor) openGate(ctx context.Context, pod *corev1.Pod) error {
	pods := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace)
	for {
		at := slices.Index(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: Gate})
		if at < 0 {
			return nil
		}
		place := fmt.Sprintf("/spec/schedulingGates/%d", at)
		patch, err := json.Marshal([]map[string]any{
			{"op": "test", "path": "/metadata/uid", "value": pod.UID}, {"op": "test", "path": place + "/name", "value": Gate}, {"op": "remove", "path": place},
			{"op": "add", "path": "/metadata/managedFields", "value": []map[string]any{{}}},
		})
		if err != nil {
			return err
		}
		_, failed := pods.Patch(ctx, pod.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
		if failed == nil {
			return nil
		}
		fresh, err := pods.Get(ctx, pod.Name, metav1.GetOptions{}) // somebody else may have changed the list
		switch {
		case err != nil:
			return err
		case fresh.UID == pod.UID && !gated(fresh):
			return nil
		case fresh.UID != pod.UID || slices.Equal(fresh.Spec.SchedulingGates, pod.Spec.SchedulingGates):
			return failed
		}
		pod = fresh
	}
}

// setWait notes what keeps an attempt's Pod from starting; empty for nothing.
func (e *Executor) setWait(attemptID, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if why == "" {
		delete(e.waits, attemptID)
		return
	}
	e.waits[attemptID] = why
}

func missing(err error) bool  { return apierrors.IsNotFound(err) }
func conflict(err error) bool { return apierrors.IsConflict(err) || apierrors.IsInvalid(err) }
