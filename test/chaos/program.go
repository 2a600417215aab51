package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Limits of a program's life.
const (
	restartPause = 300 * time.Millisecond
	stopLimit    = 60 * time.Second
)

// program is a process that is started again whenever it ends, as an init system would. Its methods are safe for concurrent
// use.
type program struct {
	name string
	args []string
	env  []string
	log  string // file

	stopping chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	started bool        // guarded by mu
	process *os.Process // guarded by mu
	held    int         // guarded by mu: by how many it is not to be started for now
}

func newProgram(name, dir string, env []string, args ...string) *program {
	return &program{name: name, args: args, env: env, log: filepath.Join(dir, name+".log"), stopping: make(chan struct{}), done: make(chan struct{})}
}

// start begins to keep the program running until stop.
func (p *program) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = true
	go p.keep()
}

func (p *program) keep() {
	defer close(p.done)
	for {
		cmd, err := p.launch()
		if err == nil && cmd != nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		select {
		case <-p.stopping:
			return
		case <-time.After(restartPause):
		}
	}
}

// launch starts the process once, unless it is held.
func (p *program) launch() (*exec.Cmd, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.stopping:
		return nil, nil
	default:
	}
	if p.held > 0 {
		return nil, nil
	}
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.process = cmd.Process
	return cmd, nil
}

// hold keeps the program from being started again, until false is given as often as true was.
func (p *program) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held {
		p.held++
	} else {
		p.held--
	}
}

func (p *program) isHeld() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held > 0
}

// pid is the process id, as far as there is one.
func (p *program) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0
	}
	return p.process.Pid
}

func (p *program) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return p.process.Signal(s)
}

// stop ends the program for good. One that was never started needs none.
func (p *program) stop() error {
	p.mu.Lock()
	started := p.started
	p.mu.Unlock()
	if !started {
		return nil
	}
	close(p.stopping)
	if err := p.signal(syscall.SIGCONT); err == nil {
		_ = p.signal(syscall.SIGTERM)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopLimit):
		err := p.signal(syscall.SIGKILL)
		<-p.done
		return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.name, stopLimit), err)
	}
}

// gone waits until the process with the id is no more.
func gone(ctx context.Context, pid int) error {
	for syscall.Kill(pid, 0) == nil {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
