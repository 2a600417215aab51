package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"gantry.example/workers/executor"
)

// assignLimit bounds how long a runner may take to read its assignment, which is larger than a pipe only with very many
// variables.
const assignLimit = 10 * time.Second

// child is a runner process of ours, idle until assign.
type child struct {
	cmd    *exec.Cmd
	stdin  *os.File
	output string        // the file it prints to
	exited chan struct{} // closed when it is gone and code is set
	code   int
}

// spawn starts an idle runner.
func (e *Executor) spawn() (*child, error) {
	output, err := os.CreateTemp(e.folder.idle(), "runner-*.log")
	if err != nil {
		return nil, fmt.Errorf("start a runner: %w", err)
	}
	defer output.Close()
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a runner: %w", errors.Join(err, os.Remove(output.Name())))
	}
	defer theirs.Close()
	cmd := exec.Command(e.cfg.Command[0], e.cfg.Command[1:]...)
	cmd.Env, cmd.Dir = e.cfg.Env, e.folder.dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, output, output
	// A session of its own: no signal of our terminal or our process group reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a runner: %w", errors.Join(err, ours.Close(), os.Remove(output.Name())))
	}
	c := &child{cmd: cmd, stdin: ours, output: output.Name(), exited: make(chan struct{})}
	go func() { // ends with the runner, which a started one does in its own time
		defer close(c.exited)
		c.code = exitCode(cmd.Wait())
	}()
	return c, nil
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode() // -1 for a signal
	}
	return executor.CodeUnknown
}

// assign turns the idle runner into the runner of an attempt. If that fails the process is dead when it returns.
func (c *child) assign(f folder, line []byte) error {
	err := errors.Join(f.savePID(c.cmd.Process.Pid), os.Rename(c.output, f.output()), c.stdin.SetWriteDeadline(time.Now().Add(assignLimit)))
	if err == nil {
		_, err = c.stdin.Write(line)
	}
	if err != nil {
		return fmt.Errorf("hand over the assignment: %w", errors.Join(err, c.kill()))
	}
	// The line is there and complete, so a failed close changes nothing.
	_ = c.stdin.Close()
	return nil
}

// kill ends a runner that has nothing to do and waits for its end.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-c.exited
	if gone := os.Remove(c.output); !errors.Is(gone, os.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return errors.Join(err, c.stdin.Close())
}

func (c *child) wait(ctx context.Context) (int, bool) {
	select {
	case <-c.exited:
		return c.code, true
	case <-ctx.Done():
		return 0, false
	}
}

func (c *child) id() (int, bool) {
	select {
	case <-c.exited:
		return 0, false
	default:
		return c.cmd.Process.Pid, true
	}
}

// terminate asks the process to end.
func terminate(pid int) error { return gone(syscall.Kill(pid, syscall.SIGTERM)) }

// gone drops the error of a signal to a process that ended by itself.
func gone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
