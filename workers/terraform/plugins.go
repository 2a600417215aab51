package terraform

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"golang.org/x/mod/sumdb/dirhash"
)

// The engines' own cache of provider plugins (TF_PLUGIN_CACHE_DIR) must not be used by two runs at the same time: each may
// rewrite what the other executes. So every run has a cache of its own, filled before init from one that all runs of the host
// share:
//
//	<shared>/HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/<hash>/…   one package; appears in one step and never changes
//	<run's>/HOST/NAMESPACE/TYPE/VERSION/OS_ARCH/…           hard links to it
//
// A package is given to a run only if the run's dependency lock file has its hash, which is the condition on which the engine
// uses a cached package too. So nothing a run leaves in the shared cache can become a provider of a run that did not ask
// for exactly that, and without a lock file everything is downloaded.

// hashScheme is how the hash of an unpacked package begins in a lock file.
const hashScheme = "h1:"

const (
	pluginKeep = 30 * 24 * time.Hour // an unused package is kept for this long
	staleAfter = 24 * time.Hour      // of what somebody began to copy and did not finish
)

// lockedProvider is one entry of a dependency lock file.
type lockedProvider struct {
	Source  string   `hcl:"source,label"`
	Version string   `hcl:"version"`
	Hashes  []string `hcl:"hashes,optional"`
	Rest    hcl.Body `hcl:",remain"`
}

// folder is where the provider's packages for this machine are in a cache, relative to it. False means that the entry is no
// good: the file is a user's, and every part of it becomes the name of a folder.
func (p lockedProvider) folder() (string, bool) {
	parts := append(strings.Split(p.Source, "/"), p.Version)
	bad := func(part string) bool {
		return part == "" || strings.HasPrefix(part, ".") || filepath.Base(part) != part
	}
	if len(parts) != 4 || slices.ContainsFunc(parts, bad) {
		return "", false
	}
	return filepath.Join(append(parts, runtime.GOOS+"_"+runtime.GOARCH)...), true
}

// packages lists the names that the provider's accepted packages have in the shared cache.
func (p lockedProvider) packages() []string {
	var names []string
	for _, h := range p.Hashes {
		encoded, ok := strings.CutPrefix(h, hashScheme)
		if sum, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && len(sum) > 0 {
			names = append(names, hex.EncodeToString(sum))
		}
	}
	return names
}

// lockedProviders reads the dependency lock file of the root module. None is no error, and neither is one that the engine
// will refuse itself.
func lockedProviders(root string) ([]lockedProvider, error) {
	path := filepath.Join(root, lockFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!info.Mode().IsRegular() || info.Size() > maxLockFile) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var content struct {
		Providers []lockedProvider `hcl:"provider,block"`
		Rest      hcl.Body         `hcl:",remain"`
	}
	file, problems := hclparse.NewParser().ParseHCL(b, lockFile)
	if problems.HasErrors() || gohcl.DecodeBody(file.Body, nil, &content).HasErrors() {
		return nil, nil
	}
	return content.Providers, nil
}

// takePlugins fills the run's cache with what the shared one has of the providers in the lock file.
func (s *Session) takePlugins() error {
	if s.cfg.Plugins == "" || s.cfg.Initialized {
		return nil
	}
	if err := errors.Join(os.RemoveAll(s.cfg.Plugins), os.MkdirAll(s.cfg.Plugins, 0o700)); err != nil {
		return fmt.Errorf("prepare the run's plugin cache: %w", err)
	}
	locked, err := lockedProviders(s.cfg.Root)
	if err != nil {
		return fmt.Errorf("read the dependency lock file: %w", err)
	}
	for _, p := range locked {
		folder, ok := p.folder()
		if !ok || s.cfg.SharedPlugins == "" {
			continue
		}
		for _, name := range p.packages() {
			if linkPackage(filepath.Join(s.cfg.SharedPlugins, folder, name), filepath.Join(s.cfg.Plugins, folder)) == nil {
				break
			}
		}
	}
	if err := s.cfg.User.ownFolders(s.cfg.Plugins); err != nil {
		return fmt.Errorf("prepare the run's plugin cache: %w", err)
	}
	return nil
}

// linkPackage puts a package of the shared cache at dir, completely or not at all.
func linkPackage(from, dir string) error {
	now := time.Now()
	if err := os.Chtimes(from, now, now); err != nil { // in use; fails if there is none
		return err
	}
	tmp := dir + ".tmp"
	err := eachFile(from, func(rel string, mode fs.FileMode) error {
		to := filepath.Join(tmp, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if os.Link(filepath.Join(from, rel), to) == nil {
			return nil
		}
		return copyFile(filepath.Join(from, rel), to, mode) // another file system
	})
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// KeepPlugins adds what Init downloaded to the shared cache. Call it after Init and before anything of the run is executed.
// A failure is no harm to the run.
func (s *Session) KeepPlugins() error {
	if s.cfg.Plugins == "" || s.cfg.SharedPlugins == "" || s.cfg.Initialized || !s.hasProviders() {
		return nil
	}
	var locked []lockedProvider
	err := s.cfg.User.Do(func() (err error) {
		locked, err = lockedProviders(s.cfg.Root) // Init has added the hashes of what it installed
		return err
	})
	if err != nil {
		return err
	}
	added := false
	for _, p := range locked {
		folder, ok := p.folder()
		if !ok {
			continue
		}
		downloaded, shared := filepath.Join(s.cfg.Plugins, folder), filepath.Join(s.cfg.SharedPlugins, folder)
		// A link leads to a mirror on this machine, which is as good as a cache.
		if info, err := os.Lstat(downloaded); err != nil || !info.IsDir() || hasAny(shared, p.packages()) {
			continue
		}
		if err := keepPackage(downloaded, shared, p.packages()); err != nil {
			return fmt.Errorf("keep provider %s %s for other runs: %w", p.Source, p.Version, err)
		}
		added = true
	}
	if added {
		return sweepPlugins(s.cfg.SharedPlugins, time.Now())
	}
	return nil
}

func hasAny(dir string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

// keepPackage copies a package to the shared cache. The copy is what is hashed: nobody else can change it.
func keepPackage(from, shared string, accepted []string) error {
	if err := os.MkdirAll(shared, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(shared, ".tmp-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	err = eachFile(from, func(rel string, mode fs.FileMode) error {
		to := filepath.Join(tmp, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return copyFile(filepath.Join(from, rel), to, mode&0o111|0o444)
	})
	if err != nil {
		return err
	}
	sum, err := dirhash.HashDir(tmp, "", dirhash.Hash1)
	if err != nil {
		return err
	}
	names := lockedProvider{Hashes: []string{sum}}.packages()
	if len(names) != 1 || !slices.Contains(accepted, names[0]) {
		return errors.New("its files are not those that the lock file has the hash of")
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(shared, names[0])); err != nil && !hasAny(shared, names) { // else another run was faster
		return err
	}
	return nil
}

// sweepPlugins removes packages that nobody used for long. A run that is just taking one downloads it instead.
func sweepPlugins(shared string, now time.Time) error {
	packages, err := fs.Glob(os.DirFS(shared), "*/*/*/*/*/*")
	if err != nil {
		return err
	}
	var problems error
	for _, name := range packages {
		dir, keep := filepath.Join(shared, filepath.FromSlash(name)), pluginKeep
		if strings.HasPrefix(filepath.Base(dir), ".tmp-") {
			keep = staleAfter
		}
		info, err := os.Stat(dir)
		if err != nil || now.Sub(info.ModTime()) < keep {
			continue
		}
		gone := filepath.Join(filepath.Dir(dir), ".tmp-gone-"+filepath.Base(dir))
		if err := os.Rename(dir, gone); err == nil {
			problems = errors.Join(problems, os.RemoveAll(gone))
		}
	}
	return problems
}

// eachFile calls do for every file below dir, with its path relative to dir. Packages have files and folders only.
func eachFile(dir string, do func(rel string, mode fs.FileMode) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return do(rel, info.Mode().Perm())
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
