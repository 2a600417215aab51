package terraform_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.example/workers/terraform"
)

// archive writes a tar.gz of the given entries; a regular file's content is as long as its Size.
func archive(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	tw := tar.NewWriter(gz)
	for _, h := range entries {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(make([]byte, h.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), gz.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "configuration.tar.gz")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	file := func(name string, size int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size}
	}
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	limits := terraform.Limits{Bytes: 1000, Entries: 5}
	for _, tt := range []struct {
		name    string
		entries []tar.Header
		want    string // in the message, beside the name of the last entry
	}{
		{"traversal", []tar.Header{file("a/../../evil.tf", 1)}, "leaves the configuration"},
		{"plain traversal", []tar.Header{file("../evil.tf", 1)}, "leaves the configuration"},
		{"absolute", []tar.Header{file("/etc/evil", 1)}, "absolute"},
		{"absolute link", []tar.Header{link("l", "/etc/passwd")}, "leaves the configuration"},
		{"link out", []tar.Header{link("d/l", "../../x")}, "leaves the configuration"},
		{"hard link", []tar.Header{file("a", 1), {Name: "h", Typeflag: tar.TypeLink, Linkname: "a"}}, "hard links"},
		{"device", []tar.Header{{Name: "dev", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, "devices"},
		{"pipe", []tar.Header{{Name: "fifo", Typeflag: tar.TypeFifo}}, "devices and pipes"},
		{"too many bytes", []tar.Header{file("a", 600), file("b", 600)}, "more than 1000 bytes"},
		{"too many entries", []tar.Header{file("a", 0), file("b", 0), file("c", 0), file("d", 0), file("e", 0), file("f", 0)}, "more than 5 entries"},
		{"through a link", []tar.Header{{Name: "d", Typeflag: tar.TypeDir, Mode: 0o755}, link("l", "d"), file("l/x", 1)}, "through symlink"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			err := terraform.Unpack(archive(t, tt.entries...), dir, nil, limits)
			var refusal *terraform.ArchiveError
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want an ArchiveError", err)
			}
			last := tt.entries[len(tt.entries)-1].Name
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), last) {
				t.Errorf("got %q, want %q and the entry %q in it", err, tt.want, last)
			}
			if outside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "evil*")); len(outside) > 0 {
				t.Errorf("written outside: %v", outside)
			}
		})
	}
}

func TestUnpackBombIsStoppedBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bomb := archive(t, tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 64 << 20})
	err := terraform.Unpack(bomb, dir, nil, terraform.Limits{Bytes: 1 << 20})
	if entries, _ := os.ReadDir(dir); err == nil || len(entries) > 0 {
		t.Errorf("got %v and %d entries, want a refusal and nothing written", err, len(entries))
	}
}

func TestUnpackNotAnArchive(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"not gzip": "PK\x03\x04 this is a zip", "empty": ""} {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var refusal *terraform.ArchiveError
		if err := terraform.Unpack(path, t.TempDir(), nil, terraform.Limits{}); !errors.As(err, &refusal) {
			t.Errorf("%s: got %v, want an ArchiveError", name, err)
		}
	}
}

func TestUnpackAccepts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := terraform.Unpack(archive(t,
		tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./main.tf", Typeflag: tar.TypeReg, Size: 3},
		tar.Header{Name: "m/x/y.tf", Typeflag: tar.TypeReg, Size: 3},
		tar.Header{Name: "m/link.tf", Typeflag: tar.TypeSymlink, Linkname: "../main.tf"},
	), dir, nil, terraform.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"main.tf", "m/x/y.tf", "m/link.tf"} {
		if got := read(t, filepath.Join(dir, name)); len(got) != 3 {
			t.Errorf("%s: got %d bytes, want 3", name, len(got))
		}
	}
}
