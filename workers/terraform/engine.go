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

	"github.com/hashicorp/go-version"

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
	Version  string          // exact version or constraint; empty, "latest" and "-dev" versions mean any
	Engine   messages.Engine // empty means terraform
	CacheDir string          // remembered versions and installed engines; required
	Path     string          // folders to search, as in $PATH; empty means $PATH
	Mirror   string          // base URL of a mirror of releases.hashicorp.com; empty means the original
}

// MissingError tells that no engine of the wanted version could be had.
type MissingError struct {
	Engine messages.Engine
	Wanted string   // empty means any
	Found  []string // "1.11.4 (/usr/bin/terraform)"
	Reason string   // why it could not be installed
}

func (e *MissingError) Error() string {
	found := "none was found on this machine"
	if len(e.Found) > 0 {
		found = "found " + strings.Join(e.Found, ", ")
	}
	wanted := string(e.Engine)
	if e.Wanted != "" {
		wanted += " " + e.Wanted
	}
	return fmt.Sprintf("%s is wanted: %s; %s", wanted, found, e.Reason)
}

// Locate finds an engine of the wanted version in the search path or among those installed earlier, else installs it into
// the cache folder. The error is a *MissingError when there is none. It starts no process for a program it has seen before.
func Locate(ctx context.Context, cfg LocateConfig) (Engine, error) {
	if cfg.Engine == "" {
		cfg.Engine = messages.EngineTerraform
	}
	match, err := matcher(cfg.Version)
	if err != nil {
		return Engine{}, &MissingError{Engine: cfg.Engine, Wanted: cfg.Version, Reason: err.Error()}
	}
	if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
		return Engine{}, fmt.Errorf("engine cache folder: %w", err)
	}
	versions := openVersionCache(filepath.Join(cfg.CacheDir, "engine-versions.json"))
	missing := &MissingError{Engine: cfg.Engine, Wanted: cfg.Version}
	for _, path := range candidates(cfg) {
		v, err := versions.of(ctx, path)
		if err != nil {
			missing.Found = append(missing.Found, fmt.Sprintf("%s, which does not tell its version (%v)", path, err))
			continue
		}
		if match(v) {
			return Engine{Path: path, Version: v, Engine: cfg.Engine}, nil
		}
		missing.Found = append(missing.Found, fmt.Sprintf("%s (%s)", v, path))
	}
	return install(ctx, cfg, missing)
}

// Satisfies reports whether e may be used where kind and version are wanted, in the words of LocateConfig.
func (e Engine) Satisfies(kind messages.Engine, wanted string) bool {
	if kind == "" {
		kind = messages.EngineTerraform
	}
	have := e.Engine
	if have == "" {
		have = messages.EngineTerraform
	}
	match, err := matcher(wanted)
	return err == nil && e.Path != "" && have == kind && match(e.Version)
}

// matcher turns a wanted version into a test. A -dev version matches anything: only its builder has it.
func matcher(wanted string) (func(string) bool, error) {
	if wanted == "" || wanted == "latest" || strings.HasSuffix(wanted, "-dev") {
		return func(string) bool { return true }, nil
	}
	if _, err := version.NewVersion(wanted); err == nil {
		exact := strings.TrimPrefix(wanted, "v")
		return func(v string) bool { return v == exact }, nil
	}
	constraint, err := version.NewConstraint(wanted)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a version nor a version constraint", wanted)
	}
	return func(s string) bool {
		v, err := version.NewVersion(s)
		return err == nil && constraint.Check(v)
	}, nil
}

// candidates lists the programs of the engine's name, those installed by us last.
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
	installed, _ := filepath.Glob(filepath.Join(cfg.CacheDir, "engines", string(cfg.Engine)+"-*", string(cfg.Engine)))
	slices.Reverse(installed) // newer first, roughly; an exact match does not care
	for _, path := range installed {
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

// askVersion starts the program. It is not done through terraform-exec because there is no work folder yet.
func askVersion(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, path, "version", "-json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CHECKPOINT_DISABLE=1", "HOME=" + os.DevNull}
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
