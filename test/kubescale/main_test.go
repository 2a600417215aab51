// Package kubescale_test measures what many Pods cost: a dispatcher in a process of its own, on a real queue and a real API server, with
// kubelets that only say that Pods ran. Benchmarks, so that nobody waits for them who does not ask: see docs/kubernetes-performance.md.
//
//	scale_test.go   what is measured                       main_test.go        a measured process, and what it says at its end
//	site_test.go    cluster, queue and server              dispatcher_test.go  the dispatcher
//	node_test.go    scheduler and kubelets                 bare_test.go        the same objects by a loop over client-go
//	cache_test.go   ten thousand Pods that run             record_test.go      figures, and the record that they are held to
package kubescale_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gantry.example/workers/k8s"
)

// roleVariable makes this program one of the processes that are measured.
const roleVariable = "GANTRY_KUBESCALE_ROLE"

// TestMain lets the measured processes be other processes: nothing that only measures is counted to them.
func TestMain(m *testing.M) {
	roles := map[string]func(context.Context, job) (work, error){"dispatcher": dispatch, "bare": bare}
	role, ok := roles[os.Getenv(roleVariable)]
	if !ok {
		m.Run()
		return
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, os.Getenv(roleVariable)+":", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

// job is what a measured process is told.
type job struct {
	Kubeconfig string
	Calls      int // a second, at most
	Pods       k8s.Config

	API, NATS, Token string // of a dispatcher
	CACert           []byte

	Count  int           // Pods to make, of a bare loop
	Every  time.Duration // between two; 0 for as fast as it goes
	Finish bool          // and do what a dispatcher does when they have ended
}

// report is what a process says at its end.
type report struct {
	Seconds   float64         // of its work
	Took      []time.Duration // until each Pod could be scheduled
	Writes    float64         // calls of the API server that change something
	Throttled float64         // seconds that calls waited for their turn
	Heap      float64         // MiB, after a garbage collection
	Resident  float64         // MiB, after a garbage collection
	Peak      float64         // MiB resident, at most
	Processor float64         // seconds
}

// work is what a role leaves open while its process is measured.
type work struct {
	report report
	count  func() (writes, throttled float64)
	close  func()
}

// play says when the role has done what it does at once, and reports when its input ends.
func play(role func(context.Context, job) (work, error)) error {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return err
	}
	w, err := role(context.Background(), j)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, in)
	r := w.report
	r.Writes, r.Throttled = w.count()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.Heap, r.Resident, r.Peak = float64(m.HeapAlloc)/(1<<20), status("VmRSS"), status("VmHWM")
	w.close()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// status reads a size of this process in MiB; 0 where there is no /proc.
func status(name string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name+":" {
			kib, _ := strconv.ParseFloat(f[1], 64)
			return kib / 1024
		}
	}
	return 0
}

// process is a measured process.
type process struct {
	b     *testing.B
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	close func() // once
}

// start returns when the process is ready.
func start(b *testing.B, role string, j job) *process {
	b.Helper()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	p := &process{b: b, cmd: cmd, in: in, out: bufio.NewReader(out)}
	p.close = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	b.Cleanup(p.close)
	must(b, json.NewEncoder(in).Encode(j))
	if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("%s: got %q (%v), want it ready", role, line, err)
	}
	return p
}

// end has the process report and ends it.
func (p *process) end() (r report) {
	p.b.Helper()
	must(p.b, p.in.Close())
	must(p.b, json.NewDecoder(p.out).Decode(&r))
	must(p.b, p.cmd.Wait())
	r.Processor = (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()).Seconds()
	return r
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
