package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

// folder is the attempt's place on disk.
//
//	lock             held by the living runner
//	assignment.json  what the runner was told, its token included, until all is delivered: for a recovery
//	start            written before the start is asked for: from then on the folder may hold what exists nowhere else
//	log              everything printed, by us and by terraform; streamed from here
//	root             link to the root module, here or in another folder (see workFolder)
//	state state.2    the last complete state that terraform saved or was seen to have written, in the one or the other
//	state-address    where the runner serves that state to terraform (see stateStore)
//	result.json      written before the result is sent
//	interrupted      a recovery has sent terraform its one SIGINT
//	delivered        the server has all there is
//	next             the attempt that this process went on with (see carryOn)
//	owed             the plan's JSON form is still to be made (see describe.go); the assignment stays for that
//	home/ tmp/       terraform's own
//	config/ plan.bin what terraform works in, unless that is in a work folder
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f folder) log() string             { return f.path("log") }
func (f folder) root() string            { return f.path("root") }
func (f folder) savedState() string      { return f.path("state") }
func (f folder) otherState() string      { return f.path("state.2") }
func (f folder) stateAddress() string    { return f.path("state-address") }

func (f folder) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

func (f folder) mark(name string) error { return Mark(f.path("lock"), f.path(name)) }

// Mark makes the file path, which says something by being there. It is a second name of the file of, in the same file system: that
// is written in a tenth of the time that a file of its own takes, and an attempt has many.
func Mark(of, path string) error {
	err := os.Link(of, path)
	if err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return os.WriteFile(path, nil, 0o600) // no such file, or a file system that knows no links
}

// Reasons why a runner leaves a folder alone.
var (
	errOccupied = errors.New("another runner of this attempt is alive")
	errStarted  = errors.New("a runner before this one may have started the attempt, so its folder is kept as it is")
)

// lock makes the folder and takes it for this process, unless another one has work in it, or had and this is no recovery. The
// kernel lets go of the lock when the process ends, however it ends.
func (f folder) lock(recovery bool) (release func(), err error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	lock, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	patience := time.Duration(0)
	if recovery { // a process that the killed runner was just starting may have the file open for an instant
		patience = 2 * time.Second
	}
	if err := takeLock(lock, patience); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", errOccupied, f.dir)
		}
		return nil, fmt.Errorf("attempt folder: lock: %w", err)
	}
	if !recovery && f.has("start") {
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", errStarted, f.dir)
	}
	return func() {
		// Not by closing alone: a process that is being started right now has a copy of the file.
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_UN)
		_ = lock.Close()
	}, nil
}

// takeLock takes the file's lock, trying for as long as patience lasts.
func takeLock(lock *os.File, patience time.Duration) error {
	for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(until) {
			return err
		}
	}
}

// markStart notes that terraform may have been executed in this folder.
func (f folder) markStart() error {
	if err := f.mark("start"); err != nil {
		return fmt.Errorf("attempt folder: %w", err)
	}
	return nil
}

// markApplying notes that an apply is executed from now on.
func (f folder) markApplying() error {
	if err := f.mark("applying"); err != nil {
		return fmt.Errorf("attempt folder: %w", err)
	}
	return nil
}

// NoApply reports whether the runner that worked in the folder dir, of an attempt of the phase, executed no apply and went on
// with no other attempt. It is to be asked when the runner is gone, and says nothing after a restart of the host, which may
// forget a file.
func NoApply(dir string, phase messages.Phase) bool {
	mark := "applying"
	if phase == messages.PhasePlan {
		mark = "next"
	}
	if _, err := os.Stat(folder{dir}.path("assignment.json")); err != nil {
		return false // not a folder that a runner left
	}
	_, err := os.Stat(folder{dir}.path(mark))
	return errors.Is(err, os.ErrNotExist)
}

// saveAssignment keeps what a recovery has to know.
func (f folder) saveAssignment(a Assignment) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return replaceFile(f.path("assignment.json"), b)
}

// linkRoot notes where the root module is.
func (f folder) linkRoot(root string) error {
	if err := os.Remove(f.root()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(root, f.root())
}

// newestState is the newest complete state that terraform wrote, wherever; nil if there is none.
func (f folder) newestState() ([]byte, wire.StateRef, error) {
	user, err := terraform.UserOf(f.dir)
	if err != nil {
		return nil, wire.StateRef{}, err
	}
	return terraform.NewestState(user, f.root(), f.savedState(), f.otherState())
}

// settle notes that the server has all there is, and drops what is secret: the log too if it is, because the server has it
// without its secrets.
func (f folder) settle(secretLog bool) error {
	err := errors.Join(f.mark("delivered"), f.forget())
	if secretLog {
		err = errors.Join(err, f.drop("log"))
	}
	return err
}

// owe is settle for a plan whose JSON form is left for later: that takes the token and what the engine was told.
func (f folder) owe(secretLog bool) error {
	err := errors.Join(f.mark("owed"), f.mark("delivered"))
	if secretLog {
		err = errors.Join(err, f.drop("log"))
	}
	return err
}

// forget removes the token and the values of variables.
func (f folder) forget() error {
	return errors.Join(terraform.Forget(f.dir), f.drop("assignment.json"))
}

func (f folder) drop(name string) error {
	if err := os.Remove(f.path(name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// saveResult keeps the result where a recovery finds it, whatever happens to its delivery.
func (f folder) saveResult(r wire.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return replaceFile(f.path("result.json"), b)
}

// result is the result that a runner came to, or nil.
func (f folder) result() (*wire.Result, error) {
	b, err := os.ReadFile(f.path("result.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var r wire.Result
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return &r, err
}

// Undelivered reports whether the attempt in the folder dir (Assignment.Dir) may have something that the server does not, and
// if so what its runner was told.
func Undelivered(dir string) (Assignment, bool) {
	f := folder{dir}
	var a Assignment
	if !f.has("start") || f.has("delivered") {
		return a, false
	}
	b, err := os.ReadFile(f.path("assignment.json"))
	if err != nil || json.Unmarshal(b, &a) != nil {
		return a, false
	}
	return a, true
}

// WorksIn is the path of what the attempt's terraform works in.
func WorksIn(dir string) (string, error) { return os.Readlink(folder{dir}.root()) }
