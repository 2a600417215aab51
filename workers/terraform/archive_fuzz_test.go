package terraform_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry.example/workers/terraform"
)

// tarOf is an archive that nothing checked, uncompressed.
func tarOf(f *testing.F, entries ...tar.Header) []byte {
	f.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		h.Mode = 0o755
		if err := w.WriteHeader(&h); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(make([]byte, h.Size)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// Whatever is uploaded, it is unpacked below its folder and within the limits, with links that stay there, or refused as an archive.
func FuzzUnpack(f *testing.F) {
	folder := tar.Header{Name: "a", Typeflag: tar.TypeDir}
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	f.Add(tarOf(f, tar.Header{Name: "main.tf", Typeflag: tar.TypeReg, Size: 9}, folder, link("a/b.tf", "../main.tf")))
	f.Add(tarOf(f, tar.Header{Name: "../evil", Typeflag: tar.TypeReg, Size: 1}))
	f.Add(tarOf(f, folder, link("a/b", ".."), link("a/c", "b/../..")))
	f.Add(tarOf(f, folder, link("a/b", "."), link("a/c", "b/../../x")))
	f.Add(tarOf(f, link("a", "."), tar.Header{Name: "a/x", Typeflag: tar.TypeReg, Size: 1}))
	f.Add(tarOf(f, tar.Header{Name: "x", Typeflag: tar.TypeReg, Size: 2000}))
	f.Add([]byte("no archive"))
	const limit = 1000
	f.Fuzz(func(t *testing.T, raw []byte) {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(raw)
		_ = w.Close()
		top := t.TempDir()
		archive, dir := filepath.Join(top, "archive"), filepath.Join(top, "deep", "config")
		if err := errors.Join(os.WriteFile(archive, packed.Bytes(), 0o600), os.MkdirAll(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		err := terraform.Unpack(archive, dir, nil, terraform.Limits{Bytes: limit, Entries: 20})
		var refusal *terraform.ArchiveError
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("got error %v, want an ArchiveError", err)
		}
		checkInside(t, top, dir, limit)
	})
}

// checkInside walks all of top, where nothing may be but the archive and dir.
func checkInside(t *testing.T, top, dir string, limit int64) {
	t.Helper()
	var total int64
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // the archive may take its own folders' rights away
		}
		if !strings.HasPrefix(path, dir) && !strings.HasPrefix(dir, path) && filepath.Base(path) != "archive" {
			t.Errorf("%s is outside of %s", path, dir)
		}
		if to, err := filepath.EvalSymlinks(path); err == nil && e.Type()&fs.ModeSymlink != 0 && to != dir && !strings.HasPrefix(to, dir+"/") {
			t.Errorf("%s leads to %s", path, to)
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && strings.HasPrefix(path, dir) {
			total += info.Size()
		}
		return nil
	})
	if err != nil || total > limit {
		t.Errorf("%d bytes unpacked, %v, want %d at most", total, err, limit)
	}
}
