// Package terraform is the only home of the engines terraform and OpenTofu: it finds them, prepares a work folder for one
// attempt, and plans and applies there through terraform-exec. Everything it starts can be stopped as one tree.
package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gantry.example/messages"
)

// Engine is a program on this machine that can plan and apply.
type Engine struct {
	Path    string          `json:"path"`
	Version string          `json:"version"` // as the program says it, without "v"
	Engine  messages.Engine `json:"engine"`
}

// LocateConfig says which engine is wanted and where to look for it.
type LocateConfig struct {
	Version  string                           // exact version or constraint; empty and "latest" mean any
	Engine   messages.Engine                  // empty means terraform
	CacheDir string                           // remembered versions and installed engines; required
	Path     string                           // folders to search, as in $PATH; empty means $PATH
	User     *User                            // who is going to run it
	Releases Releases                         // where an engine is installed from that is not on this machine
	Tell     func(format string, args ...any) // for people, before something that takes its time; nil means nobody
}

func (c LocateConfig) tell(format string, args ...any) {
	if c.Tell != nil {
		c.Tell(format, args...)
	}
}

// MissingError tells that no engine of the wanted version could be had.
type MissingError struct {
	Engine messages.Engine
	Wanted string   // empty means any
	Found  []string // "1.11.4 (/usr/bin/terraform)"
	Reason string   // why it could not be installed
	Advice string   // what to do; empty means the usual
}

func (e *MissingError) Error() string {
	found := "There is none on this machine"
	if len(e.Found) > 0 {
		found = "Found on this machine: " + strings.Join(e.Found, ", ")
	}
	wanted := string(e.Engine)
	if e.Wanted != "" {
		wanted += " " + e.Wanted
	}
	advice := e.Advice
	if advice == "" {
		advice = fmt.Sprintf("Choose another terraform_version for the workspace, install %s on the machine that runs it, "+
			"or start the server with a --%s-mirror that has it.", e.Engine, e.Engine)
	}
	return fmt.Sprintf("%s could not be had: %s. %s. %s", wanted, e.Reason, found, advice)
}

// Locate finds an engine of the wanted version in the search path or among those installed earlier, else installs it into
// the cache folder, once however many ask for it at the same time. The error is a *MissingError when there is none. It starts
// no process for a program it has seen before.
func Locate(ctx context.Context, cfg LocateConfig) (Engine, error) {
	cfg.Engine = kindOf(cfg.Engine)
	want, err := parseWish(cfg.Version)
	if err != nil {
		return Engine{}, &MissingError{
			Engine: cfg.Engine, Wanted: cfg.Version, Reason: err.Error(),
			Advice: "Correct the workspace's terraform_version: an exact version, such as 1.11.4, or a constraint, such as ~> 1.11.0.",
		}
	}
	if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
		return Engine{}, fmt.Errorf("engine cache folder: %w", err)
	}
	versions := openVersionCache(filepath.Join(cfg.CacheDir, "engine-versions.json"))
	missing := &MissingError{Engine: cfg.Engine, Wanted: cfg.Version}
	var found []Engine
	paths := candidates(cfg)
	reachable, err := cfg.User.reaches(paths)
	if err != nil {
		return Engine{}, err
	}
	for i, path := range paths {
		if !reachable[i] {
			missing.Found = append(missing.Found, fmt.Sprintf("%s, which is out of reach for the user that runs it (uid %d)", path, cfg.User.UID))
			continue
		}
		v, err := versions.of(ctx, path)
		if err != nil {
			missing.Found = append(missing.Found, fmt.Sprintf("%s, which does not tell its version (%s)", path, oneLine(err)))
			continue
		}
		missing.Found = append(missing.Found, fmt.Sprintf("%s (%s)", v, path))
		found = append(found, Engine{Path: path, Version: v, Engine: cfg.Engine})
	}
	if e, ok := want.choose(found); ok {
		return e, nil
	}
	return install(ctx, cfg, want, missing)
}

// Satisfies reports whether e may be used where kind and version are wanted, in the words of LocateConfig.
func (e Engine) Satisfies(kind messages.Engine, wanted string) bool {
	want, err := parseWish(wanted)
	return err == nil && e.Path != "" && kindOf(e.Engine) == kindOf(kind) && want.accepts(e.Version)
}

// Name is what the engine's makers call it.
func (e Engine) Name() string {
	if kindOf(e.Engine) == messages.EngineOpenTofu {
		return "OpenTofu"
	}
	return "Terraform"
}

func kindOf(e messages.Engine) messages.Engine {
	if e == "" {
		return messages.EngineTerraform
	}
	return e
}

// candidates lists the programs of the engine's name: those of the search path first, then those installed by us, newest
// first.
func candidates(cfg LocateConfig) []string {
	search := cfg.Path
	if search == "" {
		search = os.Getenv("PATH")
	}
	var out []string
	add := func(path string) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && !slices.Contains(out, path) {
			out = append(out, path)
		}
	}
	for _, dir := range filepath.SplitList(search) {
		if filepath.IsAbs(dir) { // a relative folder would be found in the work folder of a user
			add(filepath.Join(dir, string(cfg.Engine)))
		}
	}
	for _, path := range installed(cfg) {
		add(path)
	}
	return out
}

// versionCache remembers which version a program is, because asking costs a process of 30 ms. An entry is good for the same
// path, size and modification time. Concurrent writers may lose each other's entries, which then are asked for again.
type versionCache struct {
	file    string
	entries map[string]string
}

func openVersionCache(file string) *versionCache {
	c := &versionCache{file: file, entries: map[string]string{}}
	if b, err := os.ReadFile(file); err == nil {
		_ = json.Unmarshal(b, &c.entries) // a damaged cache is an empty one
	}
	if c.entries == nil {
		c.entries = map[string]string{}
	}
	return c
}

func (c *versionCache) of(ctx context.Context, path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
	if v, ok := c.entries[key]; ok {
		return v, nil
	}
	v, err := askVersion(ctx, path)
	if err != nil {
		return "", err
	}
	c.entries[key] = v
	return v, c.save()
}

func (c *versionCache) save() error {
	b, err := json.Marshal(c.entries)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.file), ".engine-versions-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), c.file)
}

// busyPatience is how long a program that was just written may be busy: another goroutine that starts a process at the wrong
// moment hands it the file, open for writing, for an instant (golang/go#22315).
const busyPatience = 3 * time.Second

// askVersion starts the program. It is not done through terraform-exec because there is no work folder yet.
func askVersion(ctx context.Context, path string) (string, error) {
	for until := time.Now().Add(busyPatience); ; time.Sleep(10 * time.Millisecond) {
		version, err := askVersionOnce(ctx, path)
		if !errors.Is(err, syscall.ETXTBSY) || time.Now().After(until) {
			return version, err
		}
	}
}

func askVersionOnce(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	// Settings of this user's are not read; tofu would put its complaints about them before its answer.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1", "HOME=" + os.DevNull, "TF_CLI_CONFIG_FILE=" + os.DevNull}
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	var answer struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", err
	}
	if answer.Version == "" {
		return "", fs.ErrInvalid
	}
	return answer.Version, nil
}
