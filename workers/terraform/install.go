package terraform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-version"
)

const (
	// installLimit bounds one download of about 30 MB, for slow lines.
	installLimit = 10 * time.Minute
	// lockPoll is how often a lock is tried that another process holds: nothing tells when it is free.
	lockPoll = 100 * time.Millisecond
)

// install downloads the wanted engine, with its checksum and signature verified, into a folder named by its version. One
// process does it and all others wait for it; a killed one leaves nothing that anybody would use. missing is completed and
// returned when the engine cannot be had.
func install(ctx context.Context, cfg LocateConfig, want wish, missing *MissingError) (Engine, error) {
	if want.development() {
		missing.Reason = "a development build is not released anywhere, it can only be found"
		return Engine{}, missing
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	from := cfg.Releases.of(cfg.Engine)
	v := want.exact
	if v == nil {
		var err error
		if v, err = newestRelease(ctx, from, want.constraints); err != nil {
			missing.Reason = fmt.Sprintf("looking for a release at %s failed: %s", from.address(), oneLine(err))
			return Engine{}, missing
		}
	}
	cfg.tell("Installing %s %s from %s", cfg.Engine, v, from.address())
	engine, err := installOnce(ctx, cfg, from, v)
	var unusable *releaseError
	if errors.As(err, &unusable) {
		missing.Reason = fmt.Sprintf("installing version %s from %s failed: %s", v, from.address(), oneLine(err))
		return Engine{}, missing
	}
	if err != nil {
		return Engine{}, fmt.Errorf("engine cache folder: %w", err)
	}
	return engine, nil
}

// releaseError: what was offered as a release could not be got or is not what it should be.
type releaseError struct{ err error }

func (e *releaseError) Error() string { return e.err.Error() }
func (e *releaseError) Unwrap() error { return e.err }

// installOnce installs version v, unless somebody else has just done it. Its error is a *releaseError, or about our own folder.
func installOnce(ctx context.Context, cfg LocateConfig, from source, v *version.Version) (Engine, error) {
	parent, name := filepath.Join(cfg.CacheDir, "engines"), string(cfg.Engine)+"-"+v.String()
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Engine{}, err
	}
	unlock, err := exclusive(ctx, filepath.Join(parent, "."+name+".lock"))
	if err != nil {
		return Engine{}, err
	}
	defer unlock()
	dir, tmp := filepath.Join(parent, name), filepath.Join(parent, ".install-"+name)
	engine := Engine{Path: filepath.Join(dir, string(cfg.Engine)), Version: v.String(), Engine: cfg.Engine}
	if have, err := askVersion(ctx, engine.Path); err == nil && have == engine.Version {
		return engine, nil
	}
	defer os.RemoveAll(tmp)
	if err := errors.Join(os.RemoveAll(tmp), os.RemoveAll(dir), os.Mkdir(tmp, 0o700)); err != nil {
		return Engine{}, err
	}
	if err := from.fetch(ctx, v, tmp); err != nil {
		return Engine{}, &releaseError{err}
	}
	have, err := askVersion(ctx, filepath.Join(tmp, string(cfg.Engine)))
	if err == nil && have != engine.Version {
		err = fmt.Errorf("the program says it is version %s", have)
	}
	if err != nil {
		return Engine{}, &releaseError{err}
	}
	// Runs may be another user's.
	if err := errors.Join(os.Chmod(tmp, 0o755), os.Chmod(filepath.Join(tmp, string(cfg.Engine)), 0o755)); err != nil {
		return Engine{}, err
	}
	return engine, os.Rename(tmp, dir)
}

// installed lists the engines that were installed earlier, newest first.
func installed(cfg LocateConfig) []string {
	kind := string(cfg.Engine)
	paths, _ := filepath.Glob(filepath.Join(cfg.CacheDir, "engines", kind+"-*", kind)) // the pattern is a good one
	slices.SortFunc(paths, func(a, b string) int { return compareVersions(versionOf(b, kind), versionOf(a, kind)) })
	return paths
}

func versionOf(path, kind string) string {
	return strings.TrimPrefix(filepath.Base(filepath.Dir(path)), kind+"-")
}

// exclusive takes the lock of the file at path, which is made and stays: whoever removed it would let two in.
func exclusive(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			// Unlocked first: a child of another goroutine that is just being started has a copy of the file.
			return func() { _ = errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close()) }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-tick.C:
		}
	}
}

// oneLine makes an error of a library fit into a sentence: some quote whole web pages.
func oneLine(err error) string {
	const most = 300
	text := []rune(strings.TrimRight(strings.Join(strings.Fields(err.Error()), " "), "."))
	if len(text) > most {
		text = append(text[:most], '…')
	}
	return string(text)
}
