package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

// Configurations gives the configuration of an attempt: the archive, or nil if it has more than limit bytes, and its SHA-256 in
// hex. It is called concurrently.
type Configurations interface {
	Configuration(ctx context.Context, a executor.Attempt, limit int64) (archive []byte, digest string, err error)
}

// ExecutorConfig describes an executor. All fields but Judge, Leads and Passed are required.
type ExecutorConfig struct {
	Config         Config
	Cluster        *Cluster
	Assignment     runner.Assignment // what all assignments have in common
	Configurations Configurations
	Log            *slog.Logger
	// Judge says what the evidence about a Pod means; nil judges by its exit code alone.
	Judge func(Evidence) Verdict
	// Leads is closed when this executor is the one to report exits and to clean up; nil means that it is from the start.
	Leads <-chan struct{}
	// Passed, if set, is called when an attempt has come to a point at which a test may want the program killed.
	Passed func(point string)
}

// notesAtOnce is how many exits are noted on their Pods at the same time, or Pods deleted, and noteAgain the pause after one that was not.
const (
	notesAtOnce = 8
	noteAgain   = 500 * time.Millisecond
)

// markLimit bounds the note that an exit was reported.
const markLimit = 10 * time.Second

// reportedFor is how long an exit is remembered after its Pod is gone.
const reportedFor = time.Hour

// Executor carries out attempts in Pods. It implements executor.Executor and executor.Watcher; Close leaves the Pods alone.
type Executor struct {
	cfg   ExecutorConfig
	log   *slog.Logger
	pods  *podCache
	exits *executor.Backlog

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	metrics *metrics
	freed   chan struct{}

	mu       sync.Mutex         // guards the rest
	creating map[string]int     // attempts whose Pod is being made here, by how many calls
	created  map[string]made    // what was made here and the cache may not have yet, by attempt
	over     map[string]gone    // exits that were handled or found, by attempt
	why      map[string]Verdict // why we delete a Pod, by attempt: its exit has this reason
	waits    map[string]string  // what keeps Pods from starting, for people, by attempt
	started  map[string]bool    // attempts that the server has let begin
}

// made is a Pod that was made here, and when that was.
type made struct {
	pod *corev1.Pod
	at  time.Time
}

// gone is a remembered exit.
type gone struct {
	status executor.Status
	at     time.Time
}

// New opens an executor on a cluster and waits until it knows the Pods that are there, or ctx ends.
func New(ctx context.Context, cfg ExecutorConfig) (*Executor, error) {
	if cfg.Passed == nil {
		cfg.Passed = func(string) {}
	}
	if cfg.Judge == nil {
		cfg.Judge = func(Evidence) Verdict { return Verdict{} }
	}
	if cfg.Leads == nil {
		always := make(chan struct{})
		close(always)
		cfg.Leads = always
	}
	e := &Executor{
		cfg: cfg, log: cfg.Log.With("pool", cfg.Config.Pool), exits: executor.NewBacklog(), metrics: newMetrics(cfg.Config.Pool, cfg.Cluster.asked), freed: make(chan struct{}, 1),
		creating: map[string]int{}, created: map[string]made{}, over: map[string]gone{}, why: map[string]Verdict{}, waits: map[string]string{}, started: map[string]bool{},
	}
	e.ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.pods = newPodCache(cfg.Cluster.watching, cfg.Config, e.log, e.watched, e.vanished)
	if err := e.pods.start(ctx, e.ctx, &e.wg); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.wg.Go(e.lead)
	return e, nil
}

// Freed has something to receive when a Pod is over, or gone: there may be room for another. One receiver is told.
func (e *Executor) Freed() <-chan struct{} { return e.freed }

func (e *Executor) free() {
	select {
	case e.freed <- struct{}{}:
	default:
	}
}

// Close lets go of the cluster.
func (e *Executor) Close() error {
	e.stop()
	e.wg.Wait()
	return nil
}

// lead looks at all Pods as soon as it is this executor's business, and again and again, because time alone makes a Pod overdue.
func (e *Executor) lead() {
	select {
	case <-e.cfg.Leads:
	case <-e.ctx.Done():
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		for _, pod := range e.pods.list() {
			e.changed(pod)
		}
		e.sweep(e.ctx)
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return
		}
	}
}

// lookEvery is between two looks at all Pods.
const lookEvery = 5 * time.Second

func (e *Executor) leads() bool {
	select {
	case <-e.cfg.Leads:
		return true
	default:
		return false
	}
}

// StartPlan implements executor.Executor.
func (e *Executor) StartPlan(ctx context.Context, a executor.Attempt) error {
	return e.start(ctx, a, messages.PhasePlan)
}

// StartApply implements executor.Executor.
func (e *Executor) StartApply(ctx context.Context, a executor.Attempt) error {
	return e.start(ctx, a, messages.PhaseApply)
}

func (e *Executor) start(ctx context.Context, a executor.Attempt, phase messages.Phase) error {
	if a.Inputs.Phase != phase {
		return fmt.Errorf("attempt %s: is of phase %q, not %q", a.AttemptID, a.Inputs.Phase, phase)
	}
	e.mu.Lock()
	_, over := e.over[a.AttemptID]
	if !over {
		e.creating[a.AttemptID]++
	}
	e.mu.Unlock()
	if over {
		return nil // it was carried out; its Pod may be gone already
	}
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.creating[a.AttemptID]--; e.creating[a.AttemptID] == 0 {
			delete(e.creating, a.AttemptID)
		}
	}()
	return e.place(ctx, a)
}

// Status implements executor.Executor.
func (e *Executor) Status(_ context.Context, attemptID string) (executor.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if g, ok := e.over[attemptID]; ok {
		return g.status, nil
	}
	pod := e.pods.byAttempt(attemptID)
	if pod == nil {
		pod = e.created[attemptID].pod
	}
	switch {
	case pod == nil:
		return executor.Status{State: executor.Unknown}, nil
	case terminal(pod):
		return executor.Status{State: executor.Exited, Code: exitOf(pod).Code}, nil
	}
	return executor.Status{State: executor.Running}, nil
}

// Running implements executor.Watcher: every attempt whose Pod is not over, gated ones included.
func (e *Executor) Running(context.Context) ([]executor.Ref, error) {
	var refs []executor.Ref
	for _, pod := range e.live() {
		refs = append(refs, refOf(pod))
	}
	return refs, nil
}

// live are the Pods that take room in the cluster, by what is known here: those of other dispatchers too.
func (e *Executor) live() map[string]*corev1.Pod {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.pods.live()
	for id, m := range e.created {
		if e.unseen(id) {
			out[id] = m.pod
		}
	}
	for id := range e.over {
		delete(out, id)
	}
	return out
}

// unseen reports whether the Pod that was made for an attempt has not come to the cache yet.
func (e *Executor) unseen(attemptID string) bool {
	cached := e.pods.byAttempt(attemptID)
	return (cached == nil || !terminal(cached)) && !e.pods.lives(attemptID)
}

// Watch implements executor.Watcher. Only the executor that leads has anything to report. Exits are handled one by one, and noted on
// their Pods beside that: the cluster's answers bound nobody but the cluster.
func (e *Executor) Watch(ctx context.Context, handle func(context.Context, executor.Exit) error) error {
	var noting errgroup.Group
	noting.SetLimit(notesAtOnce)
	defer func() { _ = noting.Wait() }()
	return e.exits.Watch(ctx, func(ctx context.Context, x executor.Exit) error {
		if e.settled(x.AttemptID) {
			return nil // by an executor before this one, or the same exit seen twice
		}
		if err := handle(ctx, x); err != nil {
			return err
		}
		noting.Go(func() error {
			if err := e.markReported(ctx, x); err != nil {
				e.log.Warn("an exit was reported and could not be noted, trying again", append(x.LogAttrs(), "error", err)...)
				e.addLater(ctx, x)
			}
			return nil
		})
		return nil
	})
}

// addLater queues an exit once more after a pause, or at once when ctx ends.
func (e *Executor) addLater(ctx context.Context, x executor.Exit) {
	pause := time.NewTimer(noteAgain)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	e.exits.Add(x)
}

func (e *Executor) settled(attemptID string) bool {
	pod := e.pods.byAttempt(attemptID)
	return pod != nil && pod.Annotations[AnnotationReported] != ""
}

// Cancel implements executor.Executor: the Pod is deleted, with its grace period or, by force, with next to none. None at all would
// only delete what the API server knows, and leave the process to the node.
func (e *Executor) Cancel(ctx context.Context, attemptID string, force bool) error {
	pod := e.pods.byAttempt(attemptID)
	if pod == nil {
		e.mu.Lock()
		pod = e.created[attemptID].pod
		e.mu.Unlock()
	}
	if pod == nil || terminal(pod) {
		return nil
	}
	var grace *int64
	if force {
		grace = new(int64(1))
	}
	return e.remove(ctx, pod, grace)
}

// remove deletes this very Pod, if it is still there. One that no node has goes at once whatever is said: the API server knows that
// better than we do, who might be told of a node a moment later.
func (e *Executor) remove(ctx context.Context, pod *corev1.Pod, grace *int64) error {
	err := e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: grace, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
	if missing(err) || conflict(err) { // gone, or another Pod of the name by now
		return nil
	}
	return err
}

// markReported notes on the Pod that the server knows, so that no other executor tells it again, and takes its Secret away. It does
// not stop when its caller is about to: what was told is to be noted.
func (e *Executor) markReported(ctx context.Context, x executor.Exit) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markLimit)
	defer cancel()
	e.mu.Lock()
	e.over[x.AttemptID] = gone{executor.Status{State: executor.Exited, Code: x.Code}, time.Now()}
	delete(e.created, x.AttemptID)
	delete(e.waits, x.AttemptID)
	delete(e.why, x.AttemptID)
	e.mu.Unlock()
	pod := e.pods.byAttempt(x.AttemptID)
	if pod == nil {
		return nil
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		err := e.cfg.Cluster.calls.CoreV1().Secrets(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		if err != nil && !missing(err) {
			e.log.Warn("a Secret goes with its Pod, not before", "pod", pod.Name, "error", err)
		}
	})
	if err := e.annotate(ctx, pod, AnnotationReported, time.Now().UTC().Format(time.RFC3339)); err != nil {
		return fmt.Errorf("pod %s/%s: note that its exit was reported: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// annotate notes something on this very Pod, if it is still there.
func (e *Executor) annotate(ctx context.Context, pod *corev1.Pod, key, value string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": map[string]string{key: value}}})
	if err != nil {
		return err
	}
	_, err = e.cfg.Cluster.calls.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if missing(err) || conflict(err) {
		return nil
	}
	return err
}

// refOf reads what an attempt belongs to from the labels of its Pod.
func refOf(pod *corev1.Pod) executor.Ref {
	l := pod.Labels
	return executor.Ref{
		AttemptID: l[LabelAttempt], TaskID: l[LabelTask], RunID: l[LabelRun], WorkspaceID: l[LabelWorkspace], Pool: l[LabelPool],
		Phase: messages.Phase(l[LabelPhase]), Traceparent: pod.Annotations[AnnotationTrace],
	}
}

func gated(pod *corev1.Pod) bool {
	return slices.Contains(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: Gate})
}
