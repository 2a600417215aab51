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
	const rounds = 4
	pods := number(b, "PODS", 2000)
	for b.Loop() {
		s := newSite(b)
		other := s.newNamespace()
		n := newNode(s, s.namespace, 0)
		j := s.job(s.namespace)
		j.Calls = unbound
		d := start(b, "dispatcher", j)
		var took, bare, processor float64
		for round := range rounds {
			bare += s.bare(other, unbound, pods/rounds, 0, false).Seconds
			before := spent()
			began := time.Now()
			s.queue(pods / rounds)
			n.await((round+1)*(pods/rounds), 0)
			took += time.Since(began).Seconds()
			processor += spent() - before
		}
		r := d.end()
		b.ReportMetric(float64(pods)/took*60, "Pods/min")
		b.ReportMetric(float64(pods)/bare*60, "bare-Pods/min")
		b.ReportMetric(processor/float64(pods)*1000, "cluster-cpu-ms/Pod")
		b.ReportMetric(r.Processor/float64(pods)*1000, "dispatcher-cpu-ms/Pod")
		hold(b, "create-rate/bare", bare/took, more)
		hold(b, "create-writes/Pod", r.Writes/float64(pods), less)
	}
}

// BenchmarkDrain has a dispatcher empty a long queue, with kubelets that end every Pod at once, until every end is reported; a bare loop
// does the same with fewer before and after, for as many writes.
func BenchmarkDrain(b *testing.B) {
	tasks := number(b, "TASKS", 5000)
	few := tasks / 10
	for b.Loop() {
		s := newSite(b)
		other := s.newNamespace()
		n := newNode(s, s.namespace, atOnce)
		beside := newNode(s, other, atOnce)
		bare := s.drain(beside, other, few)
		d := start(b, "dispatcher", s.job(s.namespace))
		before := spent()
		began := time.Now()
		s.queue(tasks)
		n.await(tasks, 0)
		placed := time.Since(began)
		n.await(tasks, tasks)
		took := time.Since(began)
		processor := spent() - before
		r := d.end()
		bare += s.drain(beside, other, few)
		b.ReportMetric(took.Seconds(), "drain-s")
		b.ReportMetric(float64(tasks)/placed.Minutes(), "Pods/min")
		b.ReportMetric(float64(2*few)/bare*60, "bare-Pods/min")
		b.ReportMetric(processor/float64(tasks)*1000, "cluster-cpu-ms/task")
		b.ReportMetric(r.Processor/float64(tasks)*1000, "dispatcher-cpu-ms/task")
		b.ReportMetric(r.Throttled/float64(tasks)*1000, "throttled-ms/task")
		b.ReportMetric(r.Heap, "heap-MiB")
		b.ReportMetric(r.Peak, "peak-MiB")
		hold(b, "drain-rate/bare", float64(tasks)/took.Seconds()/(float64(2*few)/bare), more)
		hold(b, "drain-writes/task", r.Writes/float64(tasks), less)
	}
}

// drain is how many seconds a bare loop takes to make Pods, until all have ended.
func (s *site) drain(n *node, namespace string, pods int) float64 {
	before := n.count()
	began := time.Now()
	s.bare(namespace, k8s.CallsPerSecond, pods, 0, true)
	n.await(before+pods, before+pods)
	return time.Since(began).Seconds()
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
		before := s.bare(other, k8s.CallsPerSecond, tasks/4, every, true).Took
		d := start(b, "dispatcher", s.job(s.namespace))
		published := map[string]time.Time{}
		tick := time.NewTicker(every)
		for range tasks {
			<-tick.C
			at := time.Now()
			id, err := s.publish(b.Context())
			must(b, err)
			published[id] = at
		}
		tick.Stop()
		n.await(tasks, tasks)
		r := d.end()
		bare := slices.Concat(before, s.bare(other, k8s.CallsPerSecond, tasks/4, every, true).Took)
		var took []time.Duration
		for id, at := range published {
			took = append(took, n.seen(id).Sub(at))
		}
		p50, p99 := quantiles(took)
		bare50, bare99 := quantiles(bare)
		b.ReportMetric(p50, "p50-ms")
		b.ReportMetric(p99, "p99-ms")
		b.ReportMetric(bare50, "bare-p50-ms")
		b.ReportMetric(bare99, "bare-p99-ms")
		b.ReportMetric(r.Throttled/float64(tasks)*1000, "throttled-ms/task")
		hold(b, "paced-p50/bare", p50/bare50, less)
		hold(b, "paced-writes/task", r.Writes/float64(tasks), less)
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

// quantiles are the median and the 99 % of durations, in milliseconds.
func quantiles(all []time.Duration) (p50, p99 float64) {
	slices.Sort(all)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	return ms(all[len(all)/2]), ms(all[len(all)*99/100])
}
