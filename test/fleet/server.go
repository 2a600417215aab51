package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gantry.example/client"
	"gantry.example/test/loopback"
)

const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
	clockTicks = 100 // of /proc/<pid>/stat in a second, on every Linux that Go runs on
)

// server is a running installation with a data folder and addresses of its own.
type server struct {
	cmd     *exec.Cmd
	address string
	nats    string
	exited  chan struct{} // closed when the process is gone
	client  *client.Client
}

func (f *fleet) startServer(ctx context.Context) (*server, error) {
	data, err := os.MkdirTemp(f.root, "server-")
	if err != nil {
		return nil, err
	}
	var free [2]string
	for i := range free {
		if free[i], err = loopback.Free(ctx); err != nil {
			return nil, err
		}
	}
	s := &server{nats: "nats://" + free[1], exited: make(chan struct{})}
	s.cmd = exec.Command(f.bin, "server", "--data-dir", data, "--http", free[0], "--https", "", "--nats", free[1])
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us: we stop it in order
	log, err := os.Create(data + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	if err := s.launch(ctx); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, s.stop()), said)
	}
	token, err := os.ReadFile(filepath.Join(data, "admin-token"))
	if err == nil {
		s.client, err = client.New(client.Config{Address: s.address, Token: strings.TrimSpace(string(token))})
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// launch starts the process and waits for the line "ready <address>".
func (s *server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		close(s.exited)
		return err
	}
	ready := make(chan string, 1)
	go func() {
		defer close(s.exited)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if address, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- address
				break
			}
		}
		_ = s.cmd.Wait() // how it ended is in its log
	}()
	select {
	case s.address = <-ready:
		return nil
	case <-s.exited:
		return errors.New("the server ended before it was ready")
	case <-ctx.Done():
		return fmt.Errorf("the server is not ready: %w", context.Cause(ctx))
	}
}

// stop ends the server and waits until it is gone.
func (s *server) stop() error {
	if s.client != nil {
		s.client.Close()
	}
	if s.cmd.Process == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timer.C:
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
		return fmt.Errorf("the server did not stop within %s and was killed", stopLimit)
	}
}

// memory is the server's resident set in bytes.
func (s *server) memory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("the server's memory is not known")
}

// idle says which part of a core server and Postgres use while nothing happens.
func (s *server) idle(ctx context.Context, d time.Duration) (server, postgres float64, err error) {
	ownBefore, othersBefore := s.ticks()
	if err := pause(ctx, d); err != nil {
		return 0, 0, err
	}
	own, others := s.ticks()
	return float64(own-ownBefore) / clockTicks / d.Seconds(), float64(others-othersBefore) / clockTicks / d.Seconds(), nil
}

// ticks is the processor time of the server and of all processes below it so far, those that ended and were waited for
// included.
func (s *server) ticks() (own, others int64) {
	parents, used := map[int]int{}, map[int]int64{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // gone meanwhile
		}
		_, rest, ok := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if !ok || err != nil || len(fields) < 15 {
			continue
		}
		parents[pid], _ = strconv.Atoi(fields[1])
		for i, f := range fields[11:15] { // user, system, and those of children
			n, _ := strconv.ParseInt(f, 10, 64)
			if i < 2 || pid != s.cmd.Process.Pid {
				used[pid] += n
			}
		}
	}
	for pid := range parents {
		for at := pid; at > 1; at = parents[at] {
			if at != s.cmd.Process.Pid {
				continue
			}
			if pid == at {
				own += used[pid]
			} else {
				others += used[pid]
			}
		}
	}
	return own, others
}
