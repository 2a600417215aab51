package terraform

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What init makes of a configuration is remembered where it cannot come out differently the next time: the dependency lock
// file names every provider already, and all modules are in the configuration itself. Then a later run of the same
// configuration, with the same engine and settings, is prepared without starting the engine. Providers are taken from the
// shared cache by the hashes in the lock file, as init would; what is not there any more is a reason to run init.

// initKeep is how long the memory of an init is kept that nobody used.
const initKeep = 30 * 24 * time.Hour

// initMemory is what an init left in the engine's data folder, .terraform.
type initMemory struct {
	Files     map[string][]byte `json:"files"` // by path in the folder; the backend's settings and the list of modules
	Providers bool              `json:"providers,omitempty"`
}

// remembered lists what a memory may consist of beside providers. Anything else in the folder and there is no memory.
func remembered(rel string) bool { return rel == "terraform.tfstate" || rel == "modules/modules.json" }

// memory is the file with the memory of an init like this session's; empty if none is kept.
func (s *Session) memory() (string, error) {
	if s.cfg.Inits == "" || s.cfg.Configuration == "" {
		return "", nil
	}
	ofTheRun := func(kv string) bool { // differs from run to run and means nothing to init
		return strings.HasPrefix(kv, "TFC_") || strings.HasPrefix(kv, "TF_VAR_TFC_") || strings.HasPrefix(kv, "TRACEPARENT=")
	}
	env := slices.DeleteFunc(append(append([]string{}, s.cfg.Around...), s.cfg.Env...), ofTheRun)
	slices.Sort(env)
	what, err := json.Marshal(struct {
		Configuration string
		Engine        Engine
		Override      string
		Env           []string
		Variables     any
		Providers     Providers
	}{s.cfg.Configuration, s.cfg.Engine, backendOverride(s.cfg.StateURL), env, s.cfg.Variables, s.cfg.Providers})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(what)
	return filepath.Join(s.cfg.Inits, hex.EncodeToString(sum[:])+".json"), nil
}

// Recall prepares the root module from the memory of an earlier Init of the same configuration, and reports whether there was
// one. Without one call Init.
func (s *Session) Recall() (bool, error) {
	path, err := s.memory()
	if path == "" || err != nil {
		return false, err
	}
	b, err := os.ReadFile(path)
	var m initMemory
	if err != nil || json.Unmarshal(b, &m) != nil {
		return false, nil
	}
	recalled := false
	err = s.cfg.User.Do(func() error {
		data := filepath.Join(s.cfg.Root, ".terraform")
		if os.Mkdir(data, 0o700) != nil {
			return nil // the archive brought one along
		}
		if err := s.recallInto(data, m); err != nil {
			return os.RemoveAll(data)
		}
		recalled = true
		return nil
	})
	if err != nil || !recalled {
		return false, err
	}
	now := time.Now()
	return true, errors.Join(os.Chtimes(path, now, now), s.writeSpec()) // which depends on whether there are providers
}

func (s *Session) recallInto(data string, m initMemory) error {
	for rel, content := range m.Files {
		path := filepath.Join(data, filepath.FromSlash(rel))
		if !remembered(rel) {
			return fmt.Errorf("%s is nothing that is remembered", rel)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), newFile(path, content)); err != nil {
			return err
		}
	}
	if !m.Providers {
		return nil
	}
	locked, err := lockedProviders(s.cfg.Root)
	if err != nil {
		return err
	}
	for _, p := range locked {
		folder, ok := p.folder()
		if !ok || s.cfg.Plugins == "" {
			return fmt.Errorf("%s cannot be linked", p.Source)
		}
		from, to := filepath.Join(s.cfg.Plugins, folder), filepath.Join(data, "providers", folder)
		if _, err := os.Stat(from); err != nil { // not in the shared cache any more
			return err
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Symlink(from, to)); err != nil {
			return err
		}
	}
	return nil
}

// Remember keeps what Init made, if it would be the same again. Call it after Init and before anything of the run is executed.
// A failure is no harm to the run.
func (s *Session) Remember() error {
	path, err := s.memory()
	if path == "" || err != nil {
		return err
	}
	var m initMemory
	err = s.cfg.User.Do(func() (err error) {
		m, err = s.made()
		return err
	})
	if err != nil || m.Files == nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(s.cfg.Inits, 0o700), replaceWhole(path, b), sweepInits(s.cfg.Inits, time.Now()))
}

// made is what Init made. It has no files if the configuration is not of a kind that is remembered.
func (s *Session) made() (initMemory, error) {
	lock, err := os.ReadFile(filepath.Join(s.cfg.Root, lockFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) || !bytes.Equal(lock, s.lockBefore) {
		return initMemory{}, err
	}
	m := initMemory{Files: map[string][]byte{}}
	data := filepath.Join(s.cfg.Root, ".terraform")
	err = filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(data, path)
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil:
			return err
		case rel == "providers":
			m.Providers = true
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !remembered(rel):
			return fs.ErrInvalid
		}
		m.Files[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil || !ownModules(m.Files["modules/modules.json"]) {
		return initMemory{}, nil
	}
	return m, nil
}

// ownModules reports whether every module of the engine's list is in the configuration itself.
func ownModules(list []byte) bool {
	if list == nil {
		return true
	}
	var content struct{ Modules []struct{ Source string } }
	if json.Unmarshal(list, &content) != nil {
		return false
	}
	for _, m := range content.Modules {
		if m.Source != "" && !strings.HasPrefix(m.Source, "./") && !strings.HasPrefix(m.Source, "../") {
			return false
		}
	}
	return true
}

// replaceWhole writes a file that others may be reading.
func replaceWhole(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// sweepInits forgets what nobody used for long.
func sweepInits(dir string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var problems error
	for _, e := range entries {
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > initKeep {
			problems = errors.Join(problems, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return problems
}
