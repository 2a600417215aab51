package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, THE ISOLATION OF RUNS IS NOT TESTED: only root can run terraform as somebody else; run make e2e as root on Linux")
	}
}

// attacks are shell commands, in the words of a configuration's author who is after more than its own run; harmless ones, in case they succeed. D is the data folder, V
// a folder of another run, A its attempt's, S the server's process id.
const attacks = `
try() { if "$@" >/dev/null 2>&1; then echo "ESCAPED: $*"; else echo "refused: $*"; fi; }
for f in admin-token worker-token encryption-key ca-key.pem address postgres/postgres.log; do try cat $D/$f; done
for d in . nats postgres postgres/data postgres/run work work/attempts work/runs work/kept; do try ls $D/$d; try touch $D/$d/x; done
try test -w $D/postgres/run/.s.PGSQL.5432
for f in assignment.json exec.json log state state-address attempt.json runner.log home tmp; do try ls $A/$f/.; try cat $A/$f; done
for f in config config/main.tf plan.bin ready.json plugins; do try ls $V/$f/.; try cat $V/$f; done
try touch $V/x; try rm $V/ready.json; try mv $V $V.x
for p in /proc/[0-9]*; do
  if [ "$(stat -c %u $p 2>/dev/null)" != "$(id -u)" ]; then try cat $p/environ; try ls $p/fd; try ls $p/cwd; fi
done
try chroot / true; try test -w /etc/passwd; try kill -0 $S; try kill -0 1
for p in /proc/[0-9]*; do [ "$(stat -c %u $p 2>/dev/null)" = "$(id -u)" ] || try kill -0 $(basename $p); done
try ln $D/admin-token token; try setpriv --reuid 0 true
echo "my own files: $(cat main.tf | grep -c resource) $(touch ~/a $TMPDIR/b && echo usable)"
`

// TestRunsAreIsolated: what a configuration executes reaches neither the server's secrets nor another run, and works otherwise.
func TestRunsAreIsolated(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newServer(t)
	s.start()
	folder := shared(t)
	gate, up := filepath.Join(folder, "gate"), filepath.Join(folder, "up")
	var victim run
	decode(t, s.must("run", config(t, fmt.Sprintf(`
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "touch %s; while [ ! -e %s ]; do sleep 0.05; done" }
}`, up, gate)), "-w", "default/victim", "--auto-approve", "--detach", "-o", "json").stdout, &victim)
	waitForFile(t, up)
	runs, err := filepath.Glob(filepath.Join(s.dir, "work", "runs", "*", "config"))
	homes, err2 := filepath.Glob(filepath.Join(s.dir, "work", "attempts", "*", "home"))
	if err != nil || err2 != nil || len(runs) != 1 || len(homes) == 0 {
		t.Fatalf("got folders %v and %v, want those of the victim", runs, homes)
	}
	script := filepath.Join(shared(t), "attacks")
	text := fmt.Sprintf("D=%s; V=%s; A=%s; S=%d\n%s", s.dir, filepath.Dir(runs[0]), filepath.Dir(homes[len(homes)-1]), s.cmd.Process.Pid, attacks)
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := s.must("run", config(t, fmt.Sprintf(`resource "terraform_data" "a" {
  provisioner "local-exec" { command = "sh %s" }
}`, script)), "-w", "default/attacker", "--auto-approve")
	if strings.Contains(r.stdout, "ESCAPED") || strings.Count(r.stdout, "refused: ") < 50 || !strings.Contains(r.stdout, "my own files: 1 usable") {
		t.Errorf("got\n%s\nwant every attack refused, and the run's own files usable", r.stdout)
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.waitFor(victim.ID, "applied")
	checkOthersRead(t, s.dir)
}

// checkOthersRead walks the data folder and compares what everybody on the machine can read there with what they may.
func checkOthersRead(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // just removed
		}
		info, err := e.Info()
		if err != nil {
			return nil
		}
		rel, _ := filepath.Rel(dir, path)
		mode := info.Mode().Perm()
		switch {
		case rel == filepath.Join("cache", "engines") || strings.HasPrefix(rel, filepath.Join("cache", "postgres-")):
			return filepath.SkipDir // programs that anybody can download
		case rel == "ca.pem" || rel == "https-address":
			return nil // for everybody who is to trust the server
		case e.Type()&fs.ModeSymlink != 0:
			return nil // what it leads to is looked at itself
		case mode&0o006 != 0:
			t.Errorf("%s has mode %v, want nothing that everybody can read or write", rel, info.Mode())
		case e.IsDir() && mode&0o001 == 0:
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDataFolderOutOfReach: a data folder below one that nobody else can enter needs no thought.
func TestDataFolderOutOfReach(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newServer(t)
	if err := os.Chmod(filepath.Dir(s.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	s.start()
	place, err := os.Readlink(filepath.Join(s.dir, "outside"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		s.cmd = nil
		_ = os.RemoveAll(place)
	})
	r := s.must("run", config(t, `resource "terraform_data" "a" {
  provisioner "local-exec" { command = "pwd" }
}`), "-w", "default/x", "--auto-approve")
	if !strings.Contains(r.stdout, "(local-exec): "+place+"/work/runs/") {
		t.Errorf("got\n%s\nwant the run below %s", r.stdout, place)
	}
	checkOthersRead(t, place)
}

// TestRunAs: what cannot be is refused at the start, and what is less than isolation is said.
func TestRunAs(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for value, want := range map[string]string{
		"nobody-of-that-name": "nor an account of this machine",
		"9-3":                 "FIRST < LAST",
		"root":                "no unprivileged account",
		"1-70000":             "which terraform must not be",
	} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.args = append(s.args, "--run-as", value)
			s.launch()
			if code := s.waitExit(); code == 0 || !strings.Contains(s.log.String(), "--run-as "+value) || !strings.Contains(s.log.String(), want) {
				t.Errorf("got exit code %d and\n%s\nwant %q in it", code, s.log.String(), want)
			}
		})
	}
	for value, want := range map[string]string{"self": "trusted code only", "bin": "they can reach each other's files"} {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.args = append(s.args, "--run-as", value)
			s.start()
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("got log\n%s\nwant %q in it", s.log.String(), want)
			}
			s.must("run", config(t, `resource "terraform_data" "a" {
  provisioner "local-exec" { command = "id" }
}`), "-w", "default/x", "--auto-approve")
		})
	}
}
