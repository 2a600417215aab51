package pgserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// Elsewhere is where Place goes when a data folder is out of reach, for Postgres or for runs.
	Elsewhere = "/var/lib/gantry"
	// homeName is the folder of Postgres below what Place returns, by convention of its callers (see Home).
	homeName = "postgres"
	// outsideLink, in a data folder, points to the place outside of it that Place chose.
	outsideLink = "outside"
	// maxSocketPath is what every system accepts (107 bytes on Linux, 103 on macOS).
	maxSocketPath = 103
	// socketName is what Postgres calls the socket of its default port.
	socketName = ".s.PGSQL.5432"
)

// Home returns the Config.Home to use below a folder that Place returned.
func Home(place string) string { return filepath.Join(place, homeName) }

// Place returns the folder in which things of the data folder live that u must reach: the data folder itself, or,
// when u may not enter it or a parent of it (/root), a folder of its own below elsewhere (normally Elsewhere).
// The choice is made once and kept as a link in the data folder, so a later chmod does not make Postgres start empty,
// and removing the data folder really is a fresh start. The data folder must exist.
func Place(dataDir, elsewhere string, u *User) (string, error) {
	dataDir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", err
	}
	link := filepath.Join(dataDir, outsideLink)
	if target, err := os.Readlink(link); err == nil {
		return target, nil
	}
	blocked, err := u.blockedBy(dataDir)
	if err != nil || blocked == "" {
		return dataDir, err
	}
	if _, err := os.Lstat(Home(dataDir)); err == nil {
		return "", fmt.Errorf("user %s can no longer enter %s, but the database is below it: run chmod a+x %s",
			u.Name, blocked, blocked)
	}
	if err := os.MkdirAll(elsewhere, 0o711); err != nil {
		return "", err
	}
	if blocked, err := u.blockedBy(elsewhere); err != nil || blocked != "" {
		return "", errors.Join(err, fmt.Errorf("user %s can enter neither %s nor %s: give another --data-dir, or run chmod a+x %s",
			u.Name, dataDir, elsewhere, blocked))
	}
	dir, err := os.MkdirTemp(elsewhere, shortHash(dataDir)+"-")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(os.Chmod(dir, 0o711), os.Symlink(dir, link))
}

// socketDir returns the folder for the socket of home: home/run, or one below the system's temporary folder when that
// path will not do for a socket.
func socketDir(home string, u *User) (string, error) {
	uid := os.Geteuid()
	if u != nil {
		uid = u.UID
	}
	short := fmt.Sprintf("gantry-%d-%s", uid, shortHash(home))
	for _, dir := range []string{filepath.Join(home, "run"), filepath.Join(os.TempDir(), short), filepath.Join("/tmp", short)} {
		// A comma separates hosts for lib/pq, and folders for Postgres.
		if len(filepath.Join(dir, socketName)) <= maxSocketPath && !strings.Contains(dir, ",") {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no path below %s is short enough for a unix socket", home)
}

func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// exists tells whether there is something at path, without following a link.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Outside returns the folder outside of the data folder that Place chose, or "" where there is none.
func Outside(dataDir string) (string, error) {
	target, err := os.Readlink(filepath.Join(dataDir, outsideLink))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return target, err
}
