package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gantry.example/test/chaos/history"
)

// wrapperName is what this program is called where it stands before terraform.
const wrapperName = "terraform"

// Names in the wrapper's folder and in configurations.
const (
	realName        = "real"        // has the path of terraform
	journalsName    = "journals"    // has the folder of the journals
	speculativeName = "speculative" // stands in a configuration that is only planned
	takesName       = "takes"       // says how much longer than terraform a plan takes
)

// wrap notes what is executed and becomes terraform. The lock that it takes lives until terraform and all that it started are
// gone, so whoever cannot have it is not alone.
func wrap() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path, err := os.ReadFile(filepath.Join(filepath.Dir(self), realName))
	if err != nil {
		return err
	}
	if err := note(filepath.Dir(self)); err != nil {
		return err
	}
	if slices.Contains(os.Args, history.Plan) {
		text, _ := os.ReadFile(takesName) // none: no longer
		takes, _ := time.ParseDuration(string(text))
		time.Sleep(takes)
	}
	return syscall.Exec(string(path), os.Args, os.Environ())
}

func note(dir string) error {
	run, workspace := os.Getenv("TFC_RUN_ID"), os.Getenv("TFC_WORKSPACE_NAME")
	at := slices.IndexFunc(os.Args, func(a string) bool { return a == history.Plan || a == history.Apply })
	if run == "" || workspace == "" || at < 0 {
		return nil
	}
	attempt := filepath.Base(filepath.Dir(os.Getenv("HOME"))) // HOME is in the attempt's folder
	journals, err := os.ReadFile(filepath.Join(dir, journalsName))
	if err != nil {
		return err
	}
	place := filepath.Join(string(journals), workspace)
	other := ""
	if _, err := os.Stat(speculativeName); err != nil { // what is only planned may run beside others
		if other, err = takeLock(place+lockSuffix, run+" "+os.Args[at]); err != nil {
			return err
		}
	}
	lines := fmt.Sprintf("%s %d %s %s %s\n", history.Executed, time.Now().UnixNano(), run, os.Args[at], attempt)
	if other != "" {
		lines += fmt.Sprintf("%s %d %s %s %s\n", history.Overlapped, time.Now().UnixNano(), run, os.Args[at], other)
	}
	f, err := os.OpenFile(place, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, lines)
	return errors.Join(err, f.Close())
}

const lockSuffix = ".lock"

// takeLock takes the lock for the life of this process and its children, or returns what its holder wrote into it.
func takeLock(path, who string) (holder string, err error) {
	fd, err := syscall.Open(path, syscall.O_RDWR, 0) // without close-on-exec, on purpose
	if err != nil {
		return "", err
	}
	err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	for tries := 0; errors.Is(err, syscall.EWOULDBLOCK) && tries < 5; tries++ { // it may only be looked at, see idle
		time.Sleep(10 * time.Millisecond)
		err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, err := os.ReadFile(path)
		return strings.TrimSpace(string(text)), err
	}
	if err != nil {
		return "", err
	}
	_, err = syscall.Pwrite(fd, fmt.Appendf(nil, "%-60s\n", who), 0)
	return "", err
}

// idle reports whether no terraform of the workspace is alive.
func idle(journal string) (bool, error) {
	f, err := os.Open(journal + lockSuffix)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
