// Package shim is what stands between terraform-exec and the engine: a program that sets up its own process and then
// becomes the engine (execve), so that it costs one small process start and leaves nothing behind.
//
// It exists because terraform-exec starts the engine in a way a run must not be started:
//   - with Pdeathsig=SIGKILL, so that the engine dies with the *thread* that started it; the shim clears it, because an
//     apply must survive its runner;
//   - with pipes as stdout and stderr, so that the engine dies of SIGPIPE when its runner is gone; the shim points both at
//     the log file of the attempt, which also keeps their order;
//   - with a refusal to set TF_VAR_* and others; the shim takes the whole environment from a private file;
//   - with the rights of its runner, which may be root; the shim gives them up for those of the run's own user;
//   - with -no-color, always; the shim leaves it out, because the log is read on terminals and pages that show colors, and
//     those that do not can take them out, but nobody can put them in.
//
// It imports the standard library and x/sys only, to start fast.
package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Name is the program name under which a binary acts as the shim.
const Name = "gantry-exec"

// SpecVariable names the environment variable that holds the path of the Spec. It never reaches the engine.
const SpecVariable = "GANTRY_EXEC_SPEC"

// ExitNotStarted is the exit code when the shim failed; the engine itself uses 0 to 2.
const ExitNotStarted = 127

// Spec says what the shim turns into. It is a JSON file that only its owner can read, because Env may hold secrets.
type Spec struct {
	Engine  string   `json:"engine"`  // absolute path of the real program
	Version string   `json:"version"` // answered to "version -json" without starting the engine
	Env     []string `json:"env"`     // the complete environment of the engine, KEY=VALUE
	Output  string   `json:"output"`  // file that stdout and stderr are appended to, except for commands that print data

	UID int `json:"uid,omitempty"` // user that the engine runs as; 0 means the user of the shim
	GID int `json:"gid,omitempty"` // its only group
}

// Main runs the shim and returns only if it did not become the engine: with the exit code of the process.
func Main(argv, environ []string) int {
	if err := run(argv, environ); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Name, err)
		return ExitNotStarted
	}
	return 0
}

func run(argv, environ []string) error {
	spec, err := readSpec(environ)
	if err != nil {
		return err
	}
	args := argv[1:]
	if slices.Equal(args, []string{"version", "-json"}) && spec.Version != "" {
		return json.NewEncoder(os.Stdout).Encode(map[string]string{"terraform_version": spec.Version})
	}
	// The parent-death signal belongs to a thread, and execve keeps that of the calling thread.
	runtime.LockOSThread()
	if err := clearParentDeathSignal(); err != nil {
		return fmt.Errorf("clear the parent-death signal: %w", err)
	}
	if len(args) > 0 && args[0] == "show" { // nobody waits for it, and something else may be waited for
		if err := lowerPriority(); err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
	}
	// Whoever reads our stderr learns that the process exists and that signals reach it from here on.
	if _, err := os.Stderr.WriteString("\n"); err != nil {
		return err
	}
	if spec.Output != "" && !printsData(args) {
		if err := redirect(spec.Output); err != nil {
			return err
		}
		args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "-no-color" })
	}
	if spec.UID != 0 { // last: files are opened with the runner's rights
		if err := become(spec.UID, spec.GID); err != nil {
			return fmt.Errorf("become uid %d, gid %d: %w", spec.UID, spec.GID, err)
		}
	}
	if err := syscall.Exec(spec.Engine, append([]string{spec.Engine}, args...), spec.Env); err != nil {
		return fmt.Errorf("start %s: %w", spec.Engine, err)
	}
	return nil
}

// printsData reports whether the command's stdout is an answer that terraform-exec reads.
func printsData(args []string) bool {
	return len(args) > 0 && (args[0] == "show" || args[0] == "version")
}

func readSpec(environ []string) (Spec, error) {
	var spec Spec
	var path string
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, SpecVariable+"="); ok {
			path = v
		}
	}
	if path == "" {
		return spec, fmt.Errorf("%s is not set: this program is started by a Gantry runner, not by hand", SpecVariable)
	}
	info, err := os.Stat(path)
	if err != nil {
		return spec, err
	}
	if info.Mode()&(fs.ModePerm&0o077) != 0 {
		return spec, fmt.Errorf("%s can be read by others (mode %v): it must be 0600", path, info.Mode())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return spec, err
	}
	if err := json.Unmarshal(b, &spec); err != nil {
		return spec, fmt.Errorf("%s: %w", path, err)
	}
	if spec.Engine == "" {
		return spec, errors.New(path + ": field engine is empty")
	}
	return spec, nil
}

// redirect appends stdout and stderr to the file at path. One open file description for both keeps their order.
func redirect(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	for _, fd := range []int{1, 2} {
		if err := dup(int(f.Fd()), fd); err != nil {
			return fmt.Errorf("redirect output to %s: %w", path, err)
		}
	}
	return nil
}
