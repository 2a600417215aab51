package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"gantry.example/internal/wire"
)

// folder is the attempt's place on disk.
//
//	lock         held by the living runner
//	start        written before the start is asked for: from then on the folder may hold a state that exists nowhere else
//	log          everything printed, by us and by terraform; streamed from here
//	config/      the unpacked configuration; terraform's state file lies in its root module
//	plan.bin     the saved plan
//	result.json  written before the result is sent
//	home/ tmp/   terraform's own
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }
func (f folder) log() string             { return f.path("log") }
func (f folder) config() string          { return f.path("config") }
func (f folder) plan() string            { return f.path("plan.bin") }

// Reasons why a runner leaves a folder alone.
var (
	errOccupied = errors.New("another runner of this attempt is alive")
	errStarted  = errors.New("a runner before this one may have started the attempt, so its folder is kept as it is")
)

// lock makes the folder and takes it for this process, unless another one has or had work in it. The kernel lets go of the
// lock when the process ends, however it ends.
func (f folder) lock() (release func(), err error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	lock, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("attempt folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", errOccupied, f.dir)
		}
		return nil, fmt.Errorf("attempt folder: lock: %w", err)
	}
	if _, err := os.Stat(f.path("start")); err == nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", errStarted, f.dir)
	}
	return func() { _ = lock.Close() }, nil
}

// markStart notes that terraform may have been executed in this folder.
func (f folder) markStart(nonce string) error {
	if err := os.WriteFile(f.path("start"), []byte(nonce), 0o600); err != nil {
		return fmt.Errorf("attempt folder: %w", err)
	}
	return nil
}

// saveResult keeps the result where a later runner or worker finds it, whatever happens to its delivery.
func (f folder) saveResult(r wire.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := f.path("result.json.tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, f.path("result.json"))
}
