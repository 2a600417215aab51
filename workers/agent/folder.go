package agent

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gantry.example/workers/process"
	"gantry.example/workers/station"
)

// folder is what an agent keeps on disk.
//
//	lock       held by the agent that uses the folder
//	name       the name it was given, and the one it took because another agent had that
//	instance   of the process that uses it; see station.Identify
//	work/      attempts           cache/    engines and provider plugins
type folder struct {
	dir             string
	lock            *os.File
	instance, after string
}

// openFolder makes the folder and takes it for this process. The users of runs have to get to what is in it.
func openFolder(dir string, users process.Users) (*folder, error) {
	f := &folder{dir: dir}
	mode := os.FileMode(0o700)
	if users != (process.Users{}) {
		mode = 0o711
	}
	for _, d := range []string{dir, f.cache()} {
		if err := errors.Join(os.MkdirAll(d, mode), os.Chmod(d, mode)); err != nil {
			return nil, fmt.Errorf("--data-dir: %w", err)
		}
	}
	if users != (process.Users{}) {
		if err := users.CanPass(f.cache()); err != nil {
			return nil, fmt.Errorf("--data-dir %s: the users that terraform runs as (from uid %d) cannot get there: use a folder below one that everybody may pass, such as /var/lib (%w)", dir, users.First, err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	f.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("--data-dir %s is used by another agent: stop that one or give this one a folder of its own", dir)
		}
		return nil, fmt.Errorf("--data-dir: lock: %w", err)
	}
	if f.instance, f.after, err = station.Identify(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("--data-dir: %w", err), f.close())
	}
	return f, nil
}

func (f *folder) close() error {
	return errors.Join(syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN), f.lock.Close())
}

func (f *folder) work() string  { return filepath.Join(f.dir, "work") }
func (f *folder) cache() string { return filepath.Join(f.dir, "cache") }

// name is the one to use for the given one: what was taken instead of it before.
func (f *folder) name(given string) string {
	b, _ := os.ReadFile(filepath.Join(f.dir, "name")) // not there: nothing was taken
	for _, line := range strings.Split(string(b), "\n") {
		if was, used, ok := strings.Cut(line, " "); ok && was == given {
			return cmp.Or(used, given)
		}
	}
	return given
}

func (f *folder) rename(given, used string) error {
	return os.WriteFile(filepath.Join(f.dir, "name"), []byte(given+" "+used+"\n"), 0o600)
}
