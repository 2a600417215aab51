package terraform

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/workers/terraform/shim"
)

const (
	stateFile        = "terraform.tfstate"
	erroredStateFile = "errored.tfstate"

	specFile = "exec.json" // see shim.Spec; in the attempt's folder
)

// prepareRoot writes what the engine finds in the root module. It is the user's folder, also while somebody else's engine has
// left it to this one.
func (s *Session) prepareRoot() error {
	err := s.cfg.User.Do(func() error {
		for _, prepare := range []func() error{s.cleanRoot, s.writeState, s.linkWorkspace, s.writeOverride} {
			if err := prepare(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.writeVariables()
}

// cleanRoot removes what an upload or an earlier session must not bring along: a state, and, unless it is a session's own,
// the memory of another backend or workspace.
func (s *Session) cleanRoot() error {
	if err := os.Chmod(s.cfg.Root, 0o700); err != nil { // the archive may have made it read-only
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	stale := []string{workspacesFolder, stateFile, stateFile + ".backup", erroredStateFile, "." + stateFile + ".lock.info"}
	if !s.cfg.Initialized {
		stale = append(stale, ".terraform/terraform.tfstate", ".terraform/environment")
	}
	for _, name := range stale {
		if err := os.RemoveAll(filepath.Join(s.cfg.Root, name)); err != nil {
			return fmt.Errorf("prepare the work folder: %w", err)
		}
	}
	return nil
}

func (s *Session) writeState() error {
	if s.cfg.State == nil || s.cfg.StateURL != "" {
		return nil
	}
	return newFile(filepath.Join(s.cfg.Root, stateFile), s.cfg.State)
}

// tofuFiles is the first version of OpenTofu that reads files with its own endings.
const tofuFiles = "1.8.0"

// Endings are how the names of the files end that the engine reads as a configuration.
func (e Engine) Endings() []string {
	endings := []string{".tf", ".tf.json"}
	if e.Engine == messages.EngineOpenTofu && compareVersions(e.Version, tofuFiles) >= 0 {
		endings = append(endings, ".tofu", ".tofu.json")
	}
	return endings
}

// HasConfiguration reports whether the engine would find anything in a root module, which is looked at with user's rights. It knows
// files by their names, as the engine does.
func (e Engine) HasConfiguration(user *User, root string) (found bool, err error) {
	endings := e.Endings()
	err = user.Do(func() error {
		entries, err := os.ReadDir(root)
		found = slices.ContainsFunc(entries, func(file os.DirEntry) bool {
			name := file.Name()
			editors := strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#")
			return !file.IsDir() && !editors && slices.ContainsFunc(endings, func(ending string) bool { return strings.HasSuffix(name, ending) })
		})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for the configuration: %w", err)
	}
	return found, nil
}

// writeOverride replaces a cloud block or any backend of the configuration.
func (s *Session) writeOverride() error {
	if s.cfg.Initialized {
		return nil
	}
	name, err := lastName(s.cfg.Root, "zz_gantry_override.tf", "_override.tf", "_override.tf.json", "_override.tofu", "_override.tofu.json")
	if err != nil {
		return err
	}
	return newFile(filepath.Join(s.cfg.Root, name), []byte(backendOverride(s.cfg.StateURL)))
}

// variablesFile is the name that people read in terraform's messages about the values of a workspace and its runs.
const variablesFile = "workspace-variables.auto.tfvars"

// variablesPath is a file of the attempt's folder with the path of that file below it, for Forget.
const variablesPath = "variables-path"

// writeVariables writes the values where they win over every other file. An expression cannot reach beyond its line: see
// variable.CheckExpression. A name that the configuration does not declare is only warned about.
func (s *Session) writeVariables() error {
	var b strings.Builder
	for _, v := range s.cfg.Variables {
		if err := variable.Check(v); err != nil {
			return fmt.Errorf("%s variable %q: %w", v.Category, v.Key, err)
		}
		if v.Category == wire.CategoryTerraform && variable.ValidName(v.Key) { // no configuration declares another one
			fmt.Fprintf(&b, "%s = %s\n", v.Key, variable.Expression(v))
		}
	}
	if b.Len() == 0 || s.cfg.Initialized {
		return nil
	}
	var name string
	err := s.cfg.User.Do(func() (err error) {
		name, err = lastName(s.cfg.Root, variablesFile, ".auto.tfvars", ".auto.tfvars.json")
		return err
	})
	if err != nil {
		return err
	}
	path := filepath.Join(s.cfg.Root, name)
	if inside, err := filepath.Rel(s.cfg.Dir, path); err == nil && filepath.IsLocal(inside) {
		if err := replaceFile(filepath.Join(s.cfg.Dir, variablesPath), []byte(inside)); err != nil {
			return err
		}
	}
	return s.cfg.User.Do(func() error { return newFile(path, []byte(b.String())) })
}

// Forget removes the values of variables from an attempt's folder, of which no engine runs any more. A folder that a plan
// shares with its apply keeps them as it keeps the plan, which is made of them.
func Forget(dir string) error {
	var failed error
	remove := func(path string) error {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if path, err := os.ReadFile(filepath.Join(dir, variablesPath)); err == nil {
		user, err := UserOf(dir)
		if err == nil {
			err = user.Do(func() error { return remove(filepath.Join(dir, string(path))) })
		}
		failed = errors.Join(err, remove(filepath.Join(dir, variablesPath)))
	}
	return errors.Join(failed, remove(filepath.Join(dir, specFile)))
}

// writeSpec makes the engine's environment: built from nothing, so that no secret of the host reaches a run.
func (s *Session) writeSpec() error {
	home, tmp := filepath.Join(s.cfg.Dir, "home"), filepath.Join(s.cfg.Dir, "tmp")
	cliConfig := filepath.Join(s.cfg.Dir, "terraform.rc")
	for _, dir := range []string{home, tmp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare the attempt's folder: %w", err)
		}
		if err := s.cfg.User.own(dir); err != nil {
			return fmt.Errorf("prepare the attempt's folder: %w", err)
		}
	}
	settings, err := s.cfg.Providers.cliConfiguration()
	if err != nil {
		return err
	}
	own := []string{
		"HOME=" + home, "TMPDIR=" + tmp, "TF_CLI_CONFIG_FILE=" + cliConfig,
		"TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1",
	}
	if s.cfg.Plugins != "" {
		own = append(own, pluginCacheVariable+"="+s.cfg.Plugins)
	}
	if s.cfg.Workspace != "" {
		own = append(own, "TF_WORKSPACE="+s.cfg.Workspace)
	}
	own = append(own, backendEnvironment(s.cfg.StateURL, s.cfg.SaveEvery)...)
	var weak []string // the user may know better
	if !s.hasProviders() {
		weak = []string{"GOGC=400", "GOMEMLIMIT=1GiB"}
	}
	allowed := func(env []string) []string { return slices.DeleteFunc(slices.Clone(env), s.forbidden) }
	env := environment(inherited(), weak, allowed(s.cfg.Around), s.userEnvironment(), allowed(s.cfg.Env), own)
	spec := shim.Spec{Engine: s.cfg.Engine.Path, Version: s.cfg.Engine.Version, Env: env, Output: s.cfg.Output}
	if u := s.cfg.User; u != nil {
		spec.UID, spec.GID = u.UID, u.GID
	}
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return errors.Join(replaceFile(cliConfig, settings), s.cfg.User.lend(cliConfig), replaceFile(s.specPath(), b))
}

// pluginCacheVariable names the folder in which the engine keeps plugins. It has no expansion of "$", unlike the setting.
const pluginCacheVariable = "TF_PLUGIN_CACHE_DIR"

// forbidden reports whether a variable of the run would lead the engine away from what was prepared for it: to another state,
// another workspace of it, other settings.
func (s *Session) forbidden(kv string) bool {
	name, _, _ := strings.Cut(kv, "=")
	switch name {
	case "TF_DATA_DIR", "TF_WORKSPACE", "TERRAFORM_CONFIG", pluginCacheVariable:
		return true
	}
	return s.cfg.StateURL != "" && strings.HasPrefix(name, backendVariables)
}

// environment joins lists of KEY=VALUE. The last value of a key counts and is the only one there: programs do not agree on
// which of two they take.
func environment(lists ...[]string) []string {
	var out []string
	at := map[string]int{}
	for _, kv := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, ok := at[name]; ok {
			out[i] = kv
			continue
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	return out
}

// userEnvironment is what the user set for it.
func (s *Session) userEnvironment() []string {
	var env []string
	for _, v := range s.cfg.Variables {
		switch {
		case v.Category != wire.CategoryEnv:
		case v.Key == variable.Parallelism:
			env = append(env, "TF_CLI_ARGS_plan=-parallelism="+v.Value, "TF_CLI_ARGS_apply=-parallelism="+v.Value)
		default:
			env = append(env, v.Key+"="+v.Value)
		}
	}
	return env
}

// hasProviders reports whether Init installed provider plugins. As long as there are none, the engine is a short process with a
// small heap, a quarter of whose time is garbage collection; it may take more memory instead. Schemas of providers are large,
// and plugins inherit what the engine is told, so with them it is left as it is.
func (s *Session) hasProviders() bool {
	_, err := os.Stat(filepath.Join(s.cfg.Root, ".terraform", "providers"))
	return err == nil
}

func (s *Session) specPath() string { return filepath.Join(s.cfg.Dir, specFile) }

// inherited is the only part of our own environment that a run sees, outside of a container of its own: how to reach the network, and PATH.
func inherited() []string {
	env := []string{"LANG=C.UTF-8"}
	for _, key := range []string{
		"PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	} {
		if v, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}

// lastName returns want, with z's before it until it sorts after every file of dir that has one of the suffixes: Terraform
// reads such files in that order and the last one wins.
func lastName(dir, want string, suffixes ...string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("prepare the work folder: %w", err)
	}
	for _, e := range entries {
		matches := func(suffix string) bool { return strings.HasSuffix(e.Name(), suffix) }
		for slices.ContainsFunc(suffixes, matches) && e.Name() >= want && len(want) < 200 {
			want = "z" + want
		}
	}
	return want, nil
}

// newFile writes a private file that must not exist, so that it cannot be a link of the archive to somewhere else.
func newFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("prepare the work folder: %w", err)
	}
	return newFile(path, content)
}
