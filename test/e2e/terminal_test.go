package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tty is a command on a terminal of its own.
type tty struct {
	s      *server
	cmd    *exec.Cmd
	master *os.File
	log    *logBuffer
	exited chan struct{}
}

// terminal starts a command on a pseudo-terminal, as its session's leader, so that a typed Ctrl-C reaches it.
func (s *server) terminal(cmd *exec.Cmd) *tty {
	s.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		s.t.Fatalf("this test needs pseudo-terminals (/dev/ptmx): %v", err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	x := &tty{s: s, cmd: cmd, master: master, log: &logBuffer{}, exited: make(chan struct{})}
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = slave, slave, slave
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := x.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	slave.Close()
	go func() {
		defer close(x.exited)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = x.log.Write(buf[:n])
			if err != nil { // the last one has closed the terminal
				break
			}
		}
		_ = x.cmd.Wait() // how it ended is in ProcessState
	}()
	s.t.Cleanup(func() {
		_ = x.cmd.Process.Kill()
		<-x.exited
		master.Close()
	})
	return x
}

func (x *tty) text() string { return x.log.String() }

func (x *tty) write(text string) {
	x.s.t.Helper()
	if _, err := x.master.WriteString(text); err != nil {
		x.s.t.Fatal(err)
	}
}

func (x *tty) await(text string) {
	x.s.t.Helper()
	x.s.waitUntil(fmt.Sprintf("%q is shown", text), func() bool { return strings.Contains(x.text(), text) })
}

func (x *tty) wait() int {
	x.s.t.Helper()
	select {
	case <-x.exited:
		return x.cmd.ProcessState.ExitCode()
	case <-time.After(2 * time.Minute):
		x.s.t.Fatalf("the command did not end:\n%s", tail(x.text(), 40))
		return -1
	}
}

// waitUntil polls: what another process prints gives no other signal.
func (s *server) waitUntil(what string, done func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited two minutes until %s", what)
		}
		<-tick.C
	}
}
