package k8s

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// syncLimit bounds the first list of all Pods.
const syncLimit = 30 * time.Second

// podCache knows the Pods of a pool. It may be behind: nothing is destroyed on its word alone.
type podCache struct {
	informers []cache.SharedIndexInformer
	changed   func(before, now *corev1.Pod)
	vanished  func(*corev1.Pod)
	log       *slog.Logger
	err       error // of the construction

	mu     sync.Mutex             // guards the rest
	failed error                  // why a list or watch did not work, last
	alive  map[string]*corev1.Pod // those that are not over, by attempt: asked for before every task, when thousands are kept
}

const indexAttempt = "attempt"

// newPodCache returns a cache that does nothing yet. changed (from nil, of a Pod that was not known) and vanished are called from
// goroutines of its own and must not block.
func newPodCache(client kubernetes.Interface, cfg Config, log *slog.Logger, changed func(before, now *corev1.Pod), vanished func(*corev1.Pod)) *podCache {
	c := &podCache{changed: changed, vanished: vanished, log: log, alive: map[string]*corev1.Pod{}}
	for _, namespace := range cfg.namespaces() {
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), informers.WithTransform(slim),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = LabelPool + "=" + cfg.Pool }))
		informer := factory.Core().V1().Pods().Informer()
		c.err = informer.AddIndexers(cache.Indexers{indexAttempt: func(o any) ([]string, error) {
			return []string{o.(*corev1.Pod).Labels[LabelAttempt]}, nil
		}})
		if c.err == nil {
			c.err = informer.SetWatchErrorHandlerWithContext(c.noteFailure)
		}
		if c.err != nil {
			return c
		}
		if _, c.err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { c.saw(nil, o.(*corev1.Pod)) },
			UpdateFunc: func(before, o any) { c.saw(before.(*corev1.Pod), o.(*corev1.Pod)) },
			DeleteFunc: c.deleted,
		}); c.err != nil {
			return c
		}
		c.informers = append(c.informers, informer)
	}
	return c
}

// noteFailure keeps what the cluster answers to a list or watch, and says it once in a row.
func (c *podCache) noteFailure(_ context.Context, _ *cache.Reflector, err error) {
	c.mu.Lock()
	known := c.failed != nil && c.failed.Error() == err.Error()
	c.failed = err
	c.mu.Unlock()
	if !known {
		c.log.Warn("the cluster does not list or watch its Pods, trying again", "error", err)
	}
}

// namespaces are all that Pods of the config may be in.
func (c Config) namespaces() []string {
	all := append([]string{c.Namespace}, c.Namespaces...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *podCache) saw(before, pod *corev1.Pod) {
	id := pod.Labels[LabelAttempt]
	c.mu.Lock()
	if c.alive[id] = pod; terminal(pod) {
		delete(c.alive, id)
	}
	c.mu.Unlock()
	c.changed(before, pod)
}

func (c *podCache) deleted(o any) {
	if unknown, missed := o.(cache.DeletedFinalStateUnknown); missed { // the last state before a break of the watch
		o = unknown.Obj
	}
	if pod, ok := o.(*corev1.Pod); ok {
		c.mu.Lock()
		delete(c.alive, pod.Labels[LabelAttempt])
		c.mu.Unlock()
		c.vanished(pod)
	}
}

// start follows the Pods until forever ends, and returns when it knows them all.
func (c *podCache) start(ctx, forever context.Context, wg *sync.WaitGroup) error {
	if c.err != nil {
		return c.err
	}
	ctx, cancel := context.WithTimeout(ctx, syncLimit)
	defer cancel()
	var synced []cache.InformerSynced
	for _, informer := range c.informers {
		wg.Go(func() { informer.RunWithContext(forever) })
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("the cluster did not list its Pods: %w", cmp.Or(c.failed, ctx.Err()))
	}
	return nil
}

// list returns all Pods that are known. They must not be changed.
func (c *podCache) list() []*corev1.Pod {
	var out []*corev1.Pod
	for _, informer := range c.informers {
		for _, o := range informer.GetStore().List() {
			out = append(out, o.(*corev1.Pod))
		}
	}
	return out
}

// live are the Pods that are not over, by attempt. They must not be changed.
func (c *podCache) live() map[string]*corev1.Pod {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.alive)
}

// lives reports whether the Pod of an attempt is there and not over.
func (c *podCache) lives(attemptID string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive[attemptID] != nil
}

// count is how many of those that are not over are like that.
func (c *podCache) count(like func(*corev1.Pod) bool) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pod := range c.alive {
		if like(pod) {
			n++
		}
	}
	return n
}

// byAttempt returns the Pod of an attempt, or nil.
func (c *podCache) byAttempt(id string) *corev1.Pod {
	for _, informer := range c.informers {
		if found, err := informer.GetIndexer().ByIndex(indexAttempt, id); err == nil && len(found) > 0 {
			return found[0].(*corev1.Pod)
		}
	}
	return nil
}
