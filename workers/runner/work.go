package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// workFolder is what terraform works in. The plan of a run that may be applied has it beside the folders of the attempts,
// under its attempt's id, so that the apply of that very plan finds it prepared if it meets the same host. Every other
// attempt works in its own folder.
//
//	config/     the unpacked configuration, initialized
//	plan.bin    the saved plan
//	ready.json  written last, when the server has the plan
//	done        nobody will come any more: the last to leave removes the folder
//	owed        the plan's JSON form is still to be made here (see describe.go): the folder stays for that
//	lock        held, shared, by the runners that use the folder
type workFolder struct {
	dir   string
	lock  *os.File // nil for an attempt's own folder
	ready *ready   // set if a plan's runner prepared the folder for this apply
}

// ready describes a prepared folder.
type ready struct {
	PlanSHA256 string           `json:"plan_sha256"`
	Engine     terraform.Engine `json:"engine"` // that initialized it
}

func (w workFolder) config() string          { return filepath.Join(w.dir, "config") }
func (w workFolder) plan() string            { return filepath.Join(w.dir, "plan.bin") }
func (w workFolder) path(name string) string { return filepath.Join(w.dir, name) }

func (w workFolder) mark(name string) error { return Mark(w.path("lock"), w.path(name)) }

// makeWork makes the work folder of an attempt. With a base it is there, and a link in runs leads to it, so that everybody
// finds it in the one place.
func makeWork(runs, base, attemptID string) (workFolder, error) {
	w := workFolder{dir: filepath.Join(runs, attemptID)}
	place := w.dir
	if base != "" {
		place = filepath.Join(base, attemptID)
		if err := makeBase(base); err != nil {
			return w, err
		}
	}
	if err := errors.Join(os.MkdirAll(runs, 0o700), os.MkdirAll(place, 0o700)); err != nil {
		return w, err
	}
	if base != "" {
		if err := os.Symlink(place, w.dir); err != nil && !errors.Is(err, os.ErrExist) {
			return w, err
		}
	}
	return w, w.hold()
}

// makeBase makes a base that is not there. Whoever terraform runs as passes through it, and sees nothing of it.
func makeBase(base string) error {
	if _, err := os.Stat(base); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeBase(filepath.Dir(base)); err != nil {
		return err
	}
	if err := os.Mkdir(base, 0o711); err != nil && !errors.Is(err, fs.ErrExist) { // another run was faster
		return err
	}
	return os.Chmod(base, 0o711) // the umask may have taken it away
}

// hold takes the shared lock. An error means that somebody is removing the folder, or that there is none.
func (w *workFolder) hold() error {
	lock, err := os.OpenFile(w.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return errors.Join(err, lock.Close())
	}
	w.lock = lock
	return nil
}

// findWork returns the folder that the plan's attempt left for its apply and whom it belongs to, or an error that says why it is
// of no use.
func findWork(runs, planAttemptID string, as *terraform.User) (w workFolder, user *terraform.User, err error) {
	if runs == "" || !messages.ValidID(planAttemptID, "att-") {
		return w, nil, errors.New("no plan of this host")
	}
	w.dir = filepath.Join(runs, planAttemptID)
	if err := w.hold(); err != nil {
		return w, nil, err
	}
	defer func() {
		if err != nil {
			_ = w.lock.Close()
		}
	}()
	b, err := os.ReadFile(w.path("ready.json")) // after the lock, so that nobody removes what it describes
	if err != nil {
		return w, nil, err
	}
	if err := json.Unmarshal(b, &w.ready); err != nil {
		return w, nil, err
	}
	sum, err := fileSHA256(w.plan())
	if err != nil {
		return w, nil, err
	}
	if sum != w.ready.PlanSHA256 {
		return w, nil, errors.New("its plan is not the one that was stored")
	}
	if _, err := os.Stat(w.ready.Engine.Path); err != nil {
		return w, nil, err
	}
	user, err = as.Successor(w.config())
	return w, user, err
}

// markReady offers the folder to the apply of its plan.
func (w workFolder) markReady(engine terraform.Engine) error {
	if w.lock == nil {
		return nil
	}
	sum, err := fileSHA256(w.plan())
	if err != nil {
		return err
	}
	b, err := json.Marshal(ready{PlanSHA256: sum, Engine: engine})
	if err != nil {
		return err
	}
	return replaceFile(w.path("ready.json"), b)
}

// leave lets go of the folder. With done nobody needs it after those who use it now.
func (w workFolder) leave(done bool) error {
	if w.lock == nil {
		return nil
	}
	var err error
	if done {
		err = w.mark("done")
	}
	err = errors.Join(err, syscall.Flock(int(w.lock.Fd()), syscall.LOCK_UN), w.lock.Close()) // see folder.lock
	if _, missing := os.Stat(w.path("done")); missing != nil {
		return err
	}
	if _, none := os.Stat(w.path("owed")); none == nil {
		return err
	}
	_, gone := removeWork(w.dir)
	return errors.Join(err, gone)
}

// lendOn lets go of the folder, which stays until the plan's JSON form is made.
func (w workFolder) lendOn() error {
	return errors.Join(w.mark("owed"), w.leave(false))
}

// giveUp ends a folder that was lent on.
func (w workFolder) giveUp() error {
	return errors.Join(os.Remove(w.path("owed")), w.leave(true))
}

// removeWork removes a work folder unless somebody uses it.
func removeWork(dir string) (removed bool, err error) {
	lock, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return false, removePlace(dir)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return false, nil // in use; its user removes it
	}
	return true, removePlace(dir)
}

// removePlace removes a work folder, also where only a link to it is in its place.
func removePlace(dir string) error {
	if place, err := os.Readlink(dir); err == nil {
		if err := os.RemoveAll(place); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// SweepWork removes the folders below runs (Assignment.Runs) that were made before that time and that neither a runner nor
// an undelivered attempt needs; needed is asked for the path of each.
func SweepWork(runs string, before time.Time, needed func(dir string) bool) (removed int, err error) {
	entries, err := os.ReadDir(runs)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var problems error
	for _, e := range entries {
		dir := filepath.Join(runs, e.Name())
		info, err := e.Info()
		if err != nil || info.ModTime().After(before) || needed(dir) {
			continue
		}
		gone, err := removeWork(dir)
		problems = errors.Join(problems, err)
		if gone {
			removed++
		}
	}
	return removed, problems
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// replaceFile writes a private file in one step: a reader sees the old content or the new one.
func replaceFile(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return fmt.Errorf("attempt folder: %w", err)
	}
	return os.Rename(tmp, path)
}
