package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"gantry.example/messages"
	"gantry.example/workers/executor"
	"gantry.example/workers/runner"
)

// workFolder is the place of an executor on disk.
//
//	lock        held by the executor that has the folder open
//	idle/       what idle runners print
//	attempts/   a folder for each attempt
//	runs/       what plans prepared for their applies, a folder for each; the runners' own
type workFolder struct {
	dir  string
	lock *os.File
}

// openWorkFolder makes the folder and takes it for this process. The kernel lets go of it when the process ends.
func openWorkFolder(dir string) (workFolder, error) {
	if !filepath.IsAbs(dir) {
		return workFolder{}, fmt.Errorf("work folder %q: must be an absolute path", dir)
	}
	w := workFolder{dir: filepath.Clean(dir)}
	if err := os.MkdirAll(w.attempts(), 0o700); err != nil {
		return w, fmt.Errorf("work folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(w.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return w, fmt.Errorf("work folder: %w", err)
	}
	w.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return w, fmt.Errorf("work folder %s: another worker uses it; stop that one or give this one a folder of its own", w.dir)
		}
		return w, fmt.Errorf("work folder: lock: %w", err)
	}
	// Nobody reads what an idle runner printed that is gone.
	if err := errors.Join(os.RemoveAll(w.idle()), os.Mkdir(w.idle(), 0o700)); err != nil {
		return w, errors.Join(fmt.Errorf("work folder: %w", err), lock.Close())
	}
	return w, nil
}

// close frees the lock at once. Closing the file alone would not, while a process is being started that has a copy of it.
func (w workFolder) close() error {
	return errors.Join(syscall.Flock(int(w.lock.Fd()), syscall.LOCK_UN), w.lock.Close())
}

// letPass lets the users that terraform runs as get at the folders that are theirs.
func (w workFolder) letPass() error {
	err := os.MkdirAll(w.runs(), 0o700)
	for _, dir := range []string{w.dir, w.attempts(), w.runs()} {
		err = errors.Join(err, os.Chmod(dir, 0o711))
	}
	return err
}

func (w workFolder) idle() string     { return filepath.Join(w.dir, "idle") }
func (w workFolder) attempts() string { return filepath.Join(w.dir, "attempts") }
func (w workFolder) runs() string     { return filepath.Join(w.dir, "runs") }

func (w workFolder) attempt(id string) folder { return folder{filepath.Join(w.attempts(), id)} }

// list returns the folders of all attempts.
func (w workFolder) list() ([]folder, error) {
	entries, err := os.ReadDir(w.attempts())
	if err != nil {
		return nil, fmt.Errorf("work folder: %w", err)
	}
	var folders []folder
	for _, entry := range entries {
		if messages.ValidID(entry.Name(), "att-") {
			folders = append(folders, w.attempt(entry.Name()))
		}
	}
	return folders, nil
}

// folder is the folder of one attempt. The runner works in it; these files are the executor's:
//
//	attempt.json  which attempt it is; no secrets
//	pid           process id of the runner, written before it gets its assignment
//	runner.log    what the runner process prints; terraform's output is elsewhere
//	exit          exit code of the runner, written by whoever learns it first
//	reported      its exit was reported: the folder only waits for somebody to look at it
//
// The runner holds the file lock while it lives.
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f folder) output() string          { return f.path("runner.log") }

// create makes the folder. One that exists already is an error, because its attempt was started.
func (f folder) create(ref executor.Ref) error {
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(ref)
	if err == nil {
		err = os.WriteFile(f.path("attempt.json"), b, 0o600)
	}
	if err != nil {
		return errors.Join(err, f.remove())
	}
	return nil
}

func (f folder) remove() error { return os.RemoveAll(f.dir) }

func (f folder) ref() (executor.Ref, error) {
	var ref executor.Ref
	b, err := os.ReadFile(f.path("attempt.json"))
	if err != nil {
		return ref, err
	}
	if err := json.Unmarshal(b, &ref); err != nil {
		return ref, fmt.Errorf("%s: %w", f.path("attempt.json"), err)
	}
	return ref, nil
}

func (f folder) savePID(pid int) error   { return f.saveNumber("pid", pid) }
func (f folder) pid() (int, bool)        { return f.number("pid") }
func (f folder) saveExit(code int) error { return f.saveNumber("exit", code) }
func (f folder) exit() (int, bool)       { return f.number("exit") }
func (f folder) markReported() error     { return runner.Mark(f.path("attempt.json"), f.path("reported")) }

func (f folder) reported() bool { return f.has("reported") }
func (f folder) exists() bool   { return f.has(".") }

// undelivered reports whether the folder may hold what the server does not have.
func (f folder) undelivered() bool {
	_, yes := runner.Undelivered(f.dir)
	return yes
}

// owes reports whether the JSON form of the folder's plan is still to be made.
func (f folder) owes() bool {
	_, yes := runner.Owes(f.dir)
	return yes
}

func (f folder) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

func (f folder) saveNumber(name string, n int) error {
	return os.WriteFile(f.path(name), []byte(strconv.Itoa(n)+"\n"), 0o600)
}

func (f folder) number(name string) (int, bool) {
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return n, err == nil
}

// held reports whether the runner has the folder's lock. It takes the lock for an instant to find out, so it must not be
// asked where a runner is about to take it.
func (f folder) held() bool {
	lock, err := os.Open(f.path("lock"))
	if err != nil {
		return false
	}
	defer lock.Close()
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}
