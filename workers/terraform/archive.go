package terraform

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	slug "github.com/hashicorp/go-slug"
)

// Limits bounds what an uploaded configuration may unpack to. A zero field means its default.
type Limits struct {
	Bytes   int64 // sum of all files; default 1 GiB
	Entries int   // files, folders and links; default 100,000
}

const (
	defaultMaxBytes   = 1 << 30
	defaultMaxEntries = 100_000
)

// ArchiveError tells that an uploaded configuration is not usable. Entry is empty when the archive itself is at fault.
type ArchiveError struct {
	Entry   string
	Problem string
}

func (e *ArchiveError) Error() string {
	if e.Entry == "" {
		return "the uploaded configuration cannot be unpacked: " + e.Problem
	}
	return fmt.Sprintf("the uploaded configuration cannot be unpacked: entry %q: %s", e.Entry, e.Problem)
}

// Unpack unpacks the tar.gz file at archive into the empty folder dir, which is user's, as are then the files. Everything is checked before anything is written:
// regular files, folders and relative links that stay inside are accepted. A refusal is an *ArchiveError.
func Unpack(archive, dir string, user *User, limits Limits) error {
	if limits.Bytes == 0 {
		limits.Bytes = defaultMaxBytes
	}
	if limits.Entries == 0 {
		limits.Entries = defaultMaxEntries
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := inspect(f, limits); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := user.Do(func() error { return slug.Unpack(f, dir) }); err != nil {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO) {
			return err // our disk, not the archive
		}
		return &ArchiveError{Problem: err.Error()}
	}
	return nil
}

func inspect(r io.Reader, limits Limits) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return &ArchiveError{Problem: "it is not a gzip-compressed tar archive: " + err.Error()}
	}
	entries, total := 0, int64(0)
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &ArchiveError{Problem: "it is not a readable tar archive: " + err.Error()}
		}
		entries, total = entries+1, total+h.Size
		if entries > limits.Entries {
			return &ArchiveError{h.Name, fmt.Sprintf("more than %d entries", limits.Entries)}
		}
		if total > limits.Bytes || h.Size < 0 {
			return &ArchiveError{h.Name, fmt.Sprintf("more than %d bytes unpacked", limits.Bytes)}
		}
		if problem := entryProblem(h); problem != "" {
			return &ArchiveError{h.Name, problem}
		}
	}
}

// entryProblem says what is wrong with an entry, or nothing.
func entryProblem(h *tar.Header) string {
	if path.IsAbs(h.Name) {
		return "absolute paths are not allowed"
	}
	if !inside(h.Name) {
		return "the path leaves the configuration"
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader, tar.TypeXHeader:
		return ""
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) || !inside(path.Join(path.Dir(h.Name), h.Linkname)) {
			return fmt.Sprintf("the link to %q leaves the configuration", h.Linkname)
		}
		return ""
	case tar.TypeLink:
		return "hard links are not allowed"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return "devices and pipes are not allowed"
	}
	return fmt.Sprintf("entries of type %q are not allowed", h.Typeflag)
}

// inside reports whether the relative path p stays below where it starts. It is lexical: entries are never written through
// links, and links are stored cleaned, so the folders that ".." climbs are real ones.
func inside(p string) bool {
	p = path.Clean(p)
	return p != ".." && !strings.HasPrefix(p, "../")
}

// lockFile is Terraform's record of provider versions, in a root module and in a plan file.
const lockFile = ".terraform.lock.hcl"

// maxLockFile is far above any real lock file, and below what hurts.
const maxLockFile = 4 << 20

// lockFromPlan returns the lock file kept in a saved plan, or nil if there is none.
func lockFromPlan(plan string) ([]byte, error) {
	z, err := zip.OpenReader(plan)
	if err != nil {
		return nil, fmt.Errorf("the saved plan cannot be read: %w", err)
	}
	defer z.Close()
	f, err := z.Open(lockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the saved plan cannot be read: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLockFile))
}

// planSizes returns how large the planned changes and the state they start from are, in bytes.
func planSizes(plan string) (planned, prior int64, err error) {
	z, err := zip.OpenReader(plan)
	if err != nil {
		return 0, 0, err
	}
	defer z.Close()
	for _, f := range z.File {
		switch f.Name {
		case "tfplan":
			planned = int64(f.UncompressedSize64)
		case "tfstate":
			prior = int64(f.UncompressedSize64)
		}
	}
	return planned, prior, nil
}
