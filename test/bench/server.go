package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gantry.example/client"
	"gantry.example/test/loopback"
)

// How long a server may take to be ready (it makes a database) and to stop.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// server is a running installation with a data folder and addresses of its own.
type server struct {
	cmd       *exec.Cmd
	data      string // its folder
	https     string // the addresses of these listeners
	nats      string
	log       string        // file of what it logs
	exited    chan struct{} // closed when the process is gone
	client    *client.Client
	transport *client.Transport // for what only a bench asks for
}

// startServer starts a new installation with the default settings and, beside its own places, only the flags given.
func (b *bench) startServer(ctx context.Context, name string, flags ...string) (*server, error) {
	data := filepath.Join(b.root, name)
	args, addresses := []string{"server", "--data-dir", data}, map[string]string{}
	for _, flag := range []string{"--http", "--https", "--nats"} {
		address, err := loopback.Free(ctx)
		if err != nil {
			return nil, err
		}
		args = append(args, flag, address)
		addresses[flag] = address
	}
	s := &server{cmd: exec.Command(b.bin, append(args, flags...)...), data: data, https: addresses["--https"], nats: addresses["--nats"], log: filepath.Join(b.root, name+".log"), exited: make(chan struct{})}
	s.cmd.Env = b.serverEnv()
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us: we stop it in order
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd.Stderr = log
	address, err := s.launch(ctx)
	if err == nil {
		err = s.connect(address, filepath.Join(data, "admin-token"))
	}
	if err != nil {
		return nil, fmt.Errorf("%w\nthe end of the server's log:\n%s", errors.Join(err, s.stop()), s.tail())
	}
	return s, nil
}

// serverEnv is the user's environment without settings of Gantry, and with a TMPDIR by which its runners are ours.
func (b *bench) serverEnv() []string {
	env := []string{"TMPDIR=" + b.tmp()}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GANTRY_") && !strings.HasPrefix(kv, "TMPDIR=") {
			env = append(env, kv)
		}
	}
	return env
}

// launch starts the process and waits for the line "ready <address>".
func (s *server) launch(ctx context.Context) (address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := s.cmd.Start(); err != nil {
		close(s.exited)
		return "", err
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
		_ = s.cmd.Wait() // how it ended is in its log; closes out, on which it says nothing more
	}()
	select {
	case address := <-ready:
		return address, nil
	case <-s.exited:
		return "", errors.New("the server ended before it was ready")
	case <-ctx.Done():
		return "", fmt.Errorf("the server is not ready: %w", context.Cause(ctx))
	}
}

func (s *server) connect(address, tokenFile string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	cfg := client.Config{Address: address, Token: strings.TrimSpace(string(token))}
	if s.client, err = client.New(cfg); err != nil {
		return err
	}
	cfg.Budget = 30 * time.Second
	s.transport, err = client.NewTransport(cfg)
	return err
}

// stop ends the server and waits until it is gone.
func (s *server) stop() error {
	if s.client != nil {
		s.client.Close()
	}
	if s.transport != nil {
		s.transport.Close()
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

func (s *server) tail() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b), 20)
}
