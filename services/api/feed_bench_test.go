package api_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// BenchmarkSubscribers has 1,000 subscribers read the statuses of an organization in which 200 events happen a second, for ten
// seconds, and reports how late the events come and what memory the subscribers take (both ends of their connections are in this
// process). Run it with -benchtime=1x; every hundredth subscriber measures.
func BenchmarkSubscribers(b *testing.B) {
	const subscribers, rate, runs = 1000, 200, 20
	const during = 10 * time.Second
	f := newBenchFixture(b)
	attempts := f.startRuns(runs)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ctx, cancel := context.WithCancel(context.Background())
		var lost, bytesRead, came atomic.Int64
		var mu sync.Mutex
		var lags []time.Duration
		var readers, ready sync.WaitGroup
		for i := range subscribers {
			ready.Add(1)
			readers.Go(func() {
				own, err := f.subscribe(ctx, i%100 == 0, &bytesRead, &came, ready.Done)
				if err != nil && ctx.Err() == nil {
					lost.Add(1)
				}
				mu.Lock()
				defer mu.Unlock()
				lags = append(lags, own...)
			})
		}
		ready.Wait()
		sent := f.happen(attempts, rate, during)
		f.arrived(&came, int64(sent*subscribers/100))
		runtime.GC()
		runtime.ReadMemStats(&after)
		cancel()
		readers.Wait()
		slices.Sort(lags)
		if len(lags) == 0 {
			b.Fatal("nothing came")
		}
		at := func(q float64) float64 { return float64(lags[int(q*float64(len(lags)-1))].Milliseconds()) }
		b.ReportMetric(float64(sent)/during.Seconds(), "events/s")
		b.ReportMetric(at(.5), "ms-p50")
		b.ReportMetric(at(.99), "ms-p99")
		b.ReportMetric(at(1), "ms-max")
		b.ReportMetric(float64(lost.Load()), "dropped")
		b.ReportMetric(float64(len(lags))/float64(sent*subscribers/100), "received/sent")
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/subscribers/1024, "KiB/subscriber")
		b.ReportMetric(float64(bytesRead.Load())/during.Seconds()/1e6, "MB/s")
	}
}

// benchFixture is a server for a benchmark.
type benchFixture struct {
	*fixture
	b *testing.B
}

func newBenchFixture(b *testing.B) *benchFixture {
	b.Helper()
	out := &benchFixture{b: b}
	out.fixture = newFixture(b)
	return out
}

// startRuns starts plans that only plan, so that they run beside each other, and returns run and attempt of each.
func (f *benchFixture) startRuns(n int) [][2]string {
	var out [][2]string
	for range n {
		r := f.newRun(run.Options{PlanOnly: true})
		c := f.claim(r.Plan.ID)
		f.start(c)
		out = append(out, [2]string{r.ID, c.AttemptID})
	}
	return out
}

// happen makes events at the rate, and returns how many.
func (f *benchFixture) happen(attempts [][2]string, rate int, during time.Duration) int {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	end := time.After(during)
	var done sync.WaitGroup
	var sent atomic.Int64
	for n := 0; ; n++ {
		select {
		case <-end:
			done.Wait()
			return int(sent.Load())
		case <-tick.C:
		}
		at := attempts[n%len(attempts)]
		done.Go(func() {
			_, err := f.db.Transition(context.Background(), at[0], run.Progress{AttemptID: at[1], Stage: messages.Stage(fmt.Sprint(n))}, postgres.Cause{Actor: "bench"})
			if err == nil {
				sent.Add(1)
			}
		})
	}
}

// subscribe reads a stream until ctx ends, and returns how late its events came if it measures.
func (f *benchFixture) subscribe(ctx context.Context, measure bool, read, came *atomic.Int64, ready func()) ([]time.Duration, error) {
	once := sync.OnceFunc(ready)
	defer once()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.server.URL, "http://"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := fmt.Fprintf(conn, "GET /api/gantry/v1/events?organization=default HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", adminToken); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(conn)
	if _, err := lines.ReadSlice('\n'); err != nil {
		return nil, err
	}
	once()
	if !measure {
		n, err := io.Copy(io.Discard, lines)
		read.Add(n)
		return nil, err
	}
	var lags []time.Duration
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return lags, err
		}
		read.Add(int64(len(line)))
		if _, rest, ok := bytes.Cut(line, []byte(`"at":"`)); ok && bytes.Contains(line, []byte(`"progress"`)) {
			text, _, _ := bytes.Cut(rest, []byte(`"`))
			if at, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
				lags = append(lags, time.Since(at))
				came.Add(1)
			}
		}
	}
}

// arrived waits until that many events came, or for twenty seconds.
func (f *benchFixture) arrived(came *atomic.Int64, want int64) {
	tick, late := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for came.Load() < want {
		select {
		case <-tick.C:
		case <-late:
			return
		}
	}
}
