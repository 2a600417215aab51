package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

const (
	// adoptPoll is how often an adopted runner is looked at: only its parent is told of its end.
	adoptPoll = 250 * time.Millisecond
	// lockPatience is how long a living process may take from its assignment to its lock before it is not believed to be the
	// runner: its pid may belong to another program by now.
	lockPatience = 5 * time.Second
)

// adoptAll takes over what is in the work folder.
func (e *Executor) adoptAll() error {
	folders, err := e.folder.list()
	if err != nil {
		return err
	}
	for _, f := range folders {
		e.adopt(f, false)
	}
	e.sweep(time.Now())
	return nil
}

// adopt takes over one attempt: it lives, or its exit is to be reported, or it was and the folder is kept for a while. seen
// tells that this process saw its runner begin.
func (e *Executor) adopt(f folder, seen bool) {
	if _, known := e.find(filepath.Base(f.dir)); known || !f.exists() {
		return
	}
	ref, err := f.ref()
	if err != nil {
		// Written before the runner started, so the host went down in that instant and there is nothing to report.
		e.log.Warn("a folder that names no attempt is kept as it is", "folder", f.dir, "error", err)
		ref = executor.Ref{AttemptID: filepath.Base(f.dir)}
		if err := f.markReported(); err != nil {
			e.log.Warn("the folder cannot be written", "folder", f.dir, "error", err)
		}
	}
	a := &attempt{ref: ref, folder: f, seen: seen}
	code, exited := f.exit()
	if !exited {
		code = executor.CodeUnknown
	}
	if f.reported() {
		a.status, a.since = executor.Status{State: executor.Exited, Code: code}, f.changed()
		e.remember(a)
		if f.owes() {
			e.plans.add(ref)
		}
		e.wg.Go(func() { e.recoverAgain(a) })
		return
	}
	pid, _ := f.pid()
	r := &orphan{folder: f, pid: pid, adopted: time.Now()}
	if !exited || f.held() { // by a recovery, if the runner's exit is noted
		if code, exited = r.look(); !exited {
			a.runner = r
			e.log.Info("adopted a runner", append(ref.LogAttrs(), "pid", pid)...)
			e.cutOff(a)
			e.follow(a)
			return
		}
	}
	code = e.handedOn(a, code)
	if f.undelivered() {
		a.runner = ended(code)
		e.follow(a)
		return
	}
	e.remember(a)
	e.exited(a, code, false)
}

// cutOff tells of a living runner that was told other addresses than this worker has: it can't deliver anything meanwhile.
func (e *Executor) cutOff(a *attempt) {
	told, ok := runner.Undelivered(a.folder.dir)
	now := e.cfg.Assignment
	if ok && (told.Address != now.Address || told.NATSURL != now.NATSURL) {
		e.log.Warn("the runner does not know the server's new addresses: it goes on, but what it does arrives only when the old ones are back, or when it has ended",
			append(a.ref.LogAttrs(), "address", told.Address, "nats", told.NATSURL, "new_address", now.Address, "new_nats", now.NATSURL)...)
	}
}

// changed is when the folder last got or lost a file.
func (f folder) changed() time.Time {
	info, err := os.Stat(f.dir)
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}

// orphan is a runner that an earlier worker started. One goroutine waits for it; id may be called beside.
type orphan struct {
	folder  folder
	pid     int
	adopted time.Time
	held    bool // it had its lock once
}

// look reports whether the runner is gone, and its exit code if it left one.
func (o *orphan) look() (code int, exited bool) {
	switch {
	case o.folder.held():
		o.held = true
		return 0, false
	case !o.held && processExists(o.pid) && time.Since(o.adopted) < lockPatience:
		return 0, false
	}
	if code, ok := o.folder.exit(); ok {
		return code, true
	}
	return executor.CodeUnknown, true
}

func (o *orphan) wait(ctx context.Context) (int, bool) {
	tick := time.NewTicker(adoptPoll)
	defer tick.Stop()
	for {
		if code, exited := o.look(); exited {
			return code, true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// id asks for the lock again, because the pid of a runner that is gone may be another program's by now.
func (o *orphan) id() (int, bool) { return o.pid, o.pid > 0 && o.folder.held() }

// ended is a runner that is gone; its value is the exit code.
type ended int

func (c ended) wait(context.Context) (int, bool) { return int(c), true }
func (c ended) id() (int, bool)                  { return 0, false }

func processExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return pid > 0 && (err == nil || errors.Is(err, syscall.EPERM))
}
