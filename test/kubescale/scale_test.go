package kubescale_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"gantry.example/workers/k8s"
)

// number is that of a benchmark: what is written there, or what the variable says, for a shorter look.
func number(b *testing.B, variable string, usual int) int {
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	must(b, err)
	return n
}

// unbound is more calls a second than anybody gets answered.
const unbound = 100_000

// BenchmarkCreate has a dispatcher make Pods as fast as it goes, and nobody runs them; a bare loop makes as many in turn. Neither is bound
// to a number of calls, as a dispatcher is by default.
func BenchmarkCreate(b *testing.B) {
	const rounds = 8
	pods := number(b, "PODS", 2000)
	part := pods / rounds
	for b.Loop() {
		s := newSite(b)
		other := s.newNamespace()
		n := newNode(s, s.namespace, 0)
		j := s.job(s.namespace)
		j.Calls = unbound
		d := start(b, "dispatcher", j)
		var took, bare times
		var cluster, clusterBare, processorBare float64
		for round := range rounds {
			clusterBare -= spent()
			r := s.bare(other, unbound, part, 0, false)
			clusterBare += spent()
			bare, processorBare = append(bare, r.Seconds), processorBare+r.Processor
			cluster -= spent()
			began := time.Now()
			s.queue(part)
			n.await((round+1)*part, 0)
			took = append(took, time.Since(began).Seconds())
			cluster += spent()
		}
		r := d.end()
		b.ReportMetric(float64(part*rounds)/took.sum()*60, "Pods/min")
		b.ReportMetric(float64(part*rounds)/bare.sum()*60, "bare-Pods/min")
		b.ReportMetric(cluster/float64(part*rounds)*1000, "cluster-cpu-ms/Pod")
		b.ReportMetric(r.Processor/float64(part*rounds)*1000, "dispatcher-cpu-ms/Pod")
		b.ReportMetric(bare.best()/took.best(), "rate/bare")
		hold(b, "create-cpu/bare", (cluster+r.Processor)/(clusterBare+processorBare))
		hold(b, "create-writes/Pod", r.Writes/float64(part*rounds))
	}
}

// BenchmarkDrain has a dispatcher empty a long queue, with kubelets that end every Pod at once, until every end is reported; a bare loop
// does the same with fewer before and after, for as many writes. They are minutes apart, so that only what they cost is compared.
func BenchmarkDrain(b *testing.B) {
	tasks := number(b, "TASKS", 5000)
	few := tasks / 10
	for b.Loop() {
		s := newSite(b)
		other := s.newNamespace()
		n := newNode(s, s.namespace, atOnce)
		beside := newNode(s, other, atOnce)
		seconds, costs := s.drain(beside, other, few)
		d := start(b, "dispatcher", s.job(s.namespace))
		before := spent()
		began := time.Now()
		s.queue(tasks)
		n.await(tasks, tasks)
		took := time.Since(began)
		cluster := spent() - before
		r := d.end()
		secondsAfter, costsAfter := s.drain(beside, other, few)
		b.ReportMetric(took.Seconds(), "drain-s")
		b.ReportMetric(float64(tasks)/took.Minutes(), "tasks/min")
		b.ReportMetric(float64(2*few)/(seconds+secondsAfter)*60, "bare-Pods/min")
		b.ReportMetric(cluster/float64(tasks)*1000, "cluster-cpu-ms/task")
		b.ReportMetric(r.Processor/float64(tasks)*1000, "dispatcher-cpu-ms/task")
		b.ReportMetric(r.Throttled/float64(tasks)*1000, "throttled-ms/task")
		b.ReportMetric(r.Heap, "heap-MiB")
		b.ReportMetric(r.Peak, "peak-MiB")
		hold(b, "drain-cpu/bare", (cluster+r.Processor)/float64(tasks)/((costs+costsAfter)/float64(2*few)))
		hold(b, "drain-writes/task", r.Writes/float64(tasks))
	}
}

// drain is how many seconds a bare loop takes to make Pods, until all have ended, and the processor time of it and of the cluster.
func (s *site) drain(n *node, namespace string, pods int) (seconds, processor float64) {
	count, before := n.count(), spent()
	began := time.Now()
	r := s.bare(namespace, k8s.CallsPerSecond, pods, 0, true)
	n.await(count+pods, count+pods)
	return time.Since(began).Seconds(), spent() - before + r.Processor
}

// BenchmarkPaced queues ten tasks a second, and measures from before the publication of each until another client sees that its Pod can
// be scheduled; a bare loop makes a Pod as often, from the call that makes it until that which removes the gate is answered.
func BenchmarkPaced(b *testing.B) {
	const every = time.Second / 10
	tasks := number(b, "PACED", 600)
	for b.Loop() {
		s := newSite(b)
		other := s.newNamespace()
		n := newNode(s, s.namespace, atOnce)
		newNode(s, other, atOnce)
		bare := s.bare(other, k8s.CallsPerSecond, tasks/4, every, true).Took
		d := start(b, "dispatcher", s.job(s.namespace))
		type queued struct {
			attempt string
			at      time.Time
		}
		var published []queued
		tick := time.NewTicker(every)
		for range tasks {
			<-tick.C
			at := time.Now()
			id, err := s.publish(b.Context())
			must(b, err)
			published = append(published, queued{id, at})
		}
		tick.Stop()
		n.await(tasks, tasks)
		r := d.end()
		bare = append(bare, s.bare(other, k8s.CallsPerSecond, tasks/4, every, true).Took...)
		var took []time.Duration
		for _, q := range published {
			took = append(took, n.seen(q.attempt).Sub(q.at))
		}
		b.ReportMetric(quantile(took, 50), "p50-ms")
		b.ReportMetric(quantile(took, 99), "p99-ms")
		b.ReportMetric(quantile(bare, 50), "bare-p50-ms")
		b.ReportMetric(quantile(bare, 99), "bare-p99-ms")
		b.ReportMetric(r.Throttled/float64(tasks)*1000, "throttled-ms/task")
		hold(b, "paced-p50/bare", medians(took).best()/medians(bare).best())
		hold(b, "paced-writes/task", r.Writes/float64(tasks))
	}
}

// queue publishes tasks, some at once.
func (s *site) queue(tasks int) {
	s.b.Helper()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for range tasks {
		group.Go(func() error {
			_, err := s.publish(s.b.Context())
			return err
		})
	}
	must(s.b, group.Wait())
}

// times are those of equal parts. Of two things that are compared on a busy machine each is as fast as the best of its parts.
type times []float64

func (t times) sum() (all float64) {
	for _, one := range t {
		all += one
	}
	return all
}

func (t times) best() float64 { return slices.Min(t) }

// medians are those of parts of what was measured in turn, in milliseconds.
func medians(all []time.Duration) (out times) {
	const part = 50
	for some := range slices.Chunk(all, part) {
		if len(some) == part || len(all) < part {
			out = append(out, quantile(some, 50))
		}
	}
	return out
}

// quantile is of durations, in milliseconds.
func quantile(all []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)*percent/100].Seconds() * 1000
}
