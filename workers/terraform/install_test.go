package terraform_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gantry.example/messages"
	"gantry.example/workers/terraform"
)

func TestInstall(t *testing.T) {
	t.Parallel()
	m, cache := newMirror(t), t.TempDir()
	m.terraform(t, "1.9.8", "1.10.0", "1.11.0-rc1")
	m.tofu(t, "1.9.1", "1.10.6", "1.11.0-beta2")
	for _, tt := range []struct {
		kind          messages.Engine
		version, want string
		tells         bool // it has to be installed for this
	}{
		{"terraform", "~> 1.9.0", "1.9.8", true},
		{"terraform", "1.9.8", "1.9.8", false},
		{"terraform", "", "1.9.8", false},
		{"terraform", "> 1.9.8", "1.10.0", true},
		{"terraform", "1.11.0-rc1", "1.11.0-rc1", true},
		{"terraform", ">= 1.9", "1.10.0", false},
		{"tofu", "latest", "1.10.6", true},
		{"tofu", "1.9.1", "1.9.1", true},
		{"tofu", "< 1.10", "1.9.1", false},
		{"tofu", "1.11.0-beta2", "1.11.0-beta2", true},
	} {
		var told []string
		got, err := terraform.Locate(t.Context(), terraform.LocateConfig{
			Version: tt.version, Engine: tt.kind, CacheDir: cache, Path: t.TempDir(), Releases: m.releases(),
			Tell: func(format string, _ ...any) { told = append(told, format) },
		})
		if err != nil || got.Version != tt.want || got.Engine != tt.kind || !strings.HasPrefix(got.Path, cache) {
			t.Errorf("%s %q: got %+v, %v, want %s in the cache", tt.kind, tt.version, got, err, tt.want)
		}
		if (len(told) > 0) != tt.tells {
			t.Errorf("%s %q: told %q, want it told: %v", tt.kind, tt.version, told, tt.tells)
		}
	}
	if got := m.count("/terraform/1.9.8/terraform_1.9.8_" + platform + ".zip"); got != 1 {
		t.Errorf("terraform 1.9.8 was downloaded %d times, want once", got)
	}
}

func TestInstallTakesOnlyWhatIsSigned(t *testing.T) {
	t.Parallel()
	const zipped, packed = "/terraform/1.9.8/terraform_1.9.8_" + platform + ".zip", "/v1.9.1/tofu_1.9.1_" + platform + ".tar.gz"
	const terraformSums, tofuSums = "/terraform/1.9.8/terraform_1.9.8_SHA256SUMS", "/v1.9.1/tofu_1.9.1_SHA256SUMS"
	for name, tt := range map[string]struct {
		spoil                     func(t *testing.T, m *mirror)
		terraformWants, tofuWants string // in the errors
	}{
		"checksum": {func(_ *testing.T, m *mirror) {
			m.files[zipped] = append(m.files[zipped], 0)
			m.files[packed] = append(m.files[packed], 0)
		}, "checksum does not match for", "invalid checksum"},
		"checksums changed": {func(_ *testing.T, m *mirror) {
			m.files[terraformSums] = append(m.files[terraformSums], '\n')
			m.files[tofuSums] = append(m.files[tofuSums], '\n')
		}, "unable to verify checksums signature", "Signature verification failed"},
		"other key": {func(t *testing.T, m *mirror) { _, m.key = newKey(t) },
			"unable to verify checksums signature", "Signature verification failed"},
		"the makers' keys": {func(_ *testing.T, m *mirror) { m.key = "" },
			"unable to verify checksums signature", "Signature verification failed"},
		"no signature": {func(_ *testing.T, m *mirror) {
			delete(m.files, terraformSums+".sig")
			delete(m.files, tofuSums+".gpgsig")
		}, "404", "404"},
		"another version inside": {func(t *testing.T, m *mirror) {
			for _, f := range []string{zipped, terraformSums, terraformSums + ".sig"} { // 1.9.9 under the name of 1.9.8
				m.files[f] = m.files[strings.ReplaceAll(f, "1.9.8", "1.9.9")]
			}
			m.resign(t, terraformSums, ".sig", zipped)
			m.files[packed] = m.files[strings.ReplaceAll(packed, "1.9.1", "1.9.2")]
			m.resign(t, tofuSums, ".gpgsig", packed)
		}, "says it is version 1.9.9", "says it is version 1.9.2"},
		"a list that is none": {func(_ *testing.T, m *mirror) {
			m.files["/terraform/1.9.8/index.json"] = []byte("<html>" + strings.Repeat("\nlogin", 500))
			m.files[packed] = []byte("<html>")
		}, "invalid character '<'", "invalid checksum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.terraform(t, "1.9.8", "1.9.9")
			m.tofu(t, "1.9.1", "1.9.2")
			tt.spoil(t, m)
			for _, want := range []struct {
				kind          messages.Engine
				version, text string
			}{{"terraform", "1.9.8", tt.terraformWants}, {"tofu", "1.9.1", tt.tofuWants}} {
				refused(t, m, want.kind, want.version, want.text)
			}
		})
	}
}

func refused(t *testing.T, m *mirror, kind messages.Engine, version, text string) {
	t.Helper()
	cache := t.TempDir()
	got, err := terraform.Locate(t.Context(), terraform.LocateConfig{
		Version: version, Engine: kind, CacheDir: cache, Path: t.TempDir(), Releases: m.releases(),
	})
	var missing *terraform.MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), m.URL) {
		t.Errorf("%s: got %+v, %v, want an error with %q and the mirror", kind, got, err, text)
	} else if len(err.Error()) > 900 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: the error is not for people: %v", kind, err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "engines", "*", "*"))
	if len(left) > 0 {
		t.Errorf("%s: left %v, want nothing", kind, left)
	}
}

// resign signs what is at archive now as the release of its name.
func (m *mirror) resign(t *testing.T, sums, suffix, archive string) {
	t.Helper()
	m.files[sums], m.files[sums+suffix] = m.sums(t, filepath.Base(archive), m.files[archive])
}

// TestOddListOfReleases: a list with something unexpected in it is an error, not the end of the process.
func TestOddListOfReleases(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.tofu(t, "1.9.1", "nightly")
	refused(t, m, "tofu", "~> 1.9", "nightly")
	m.terraform(t, "1.9.8")
	refused(t, m, "terraform", ">= 2", "none of its ")
	_, err := terraform.Locate(t.Context(), terraform.LocateConfig{Version: "1.15.0-dev", CacheDir: t.TempDir(), Path: t.TempDir(), Releases: m.releases()})
	if want := "a development build is not released anywhere"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestConcurrentInstallsHappenOnce(t *testing.T) {
	t.Parallel()
	m, cache, path := newMirror(t), t.TempDir(), t.TempDir()
	m.terraform(t, "1.9.8")
	m.tofu(t, "1.9.1")
	var all sync.WaitGroup
	for range 8 {
		for _, want := range []terraform.LocateConfig{{Version: "1.9.8"}, {Version: "~> 1.9.0"}, {Engine: "tofu", Version: "1.9.1"}} {
			want.CacheDir, want.Path, want.Releases = cache, path, m.releases()
			all.Go(func() {
				if e, err := terraform.Locate(t.Context(), want); err != nil || !e.Satisfies(want.Engine, want.Version) {
					t.Errorf("got %+v, %v", e, err)
				}
			})
		}
	}
	all.Wait()
	for _, archive := range []string{"/terraform/1.9.8/terraform_1.9.8_" + platform + ".zip", "/v1.9.1/tofu_1.9.1_" + platform + ".tar.gz"} {
		if got := m.count(archive); got != 1 {
			t.Errorf("%s was downloaded %d times, want once", archive, got)
		}
	}
}

// TestInstallAfterACrash: what a killed installation or a dying disk left is replaced.
func TestInstallAfterACrash(t *testing.T) {
	t.Parallel()
	m, cache := newMirror(t), t.TempDir()
	m.terraform(t, "1.9.8")
	for _, dir := range []string{".install-terraform-1.9.8", "terraform-1.9.8"} {
		dir = filepath.Join(cache, "engines", dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "terraform"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cfg := terraform.LocateConfig{Version: "1.9.8", CacheDir: cache, Path: t.TempDir(), Releases: m.releases()}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if e, err := terraform.Locate(canceled, cfg); err == nil {
		t.Errorf("canceled: got %+v, want an error", e)
	}
	if e, err := terraform.Locate(t.Context(), cfg); err != nil || e.Version != "1.9.8" {
		t.Errorf("got %+v, %v, want 1.9.8", e, err)
	}
}
