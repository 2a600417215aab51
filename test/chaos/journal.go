package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gantry.example/test/chaos/history"
)

// configuration makes one resource after the other. Each says in the journal when its provisioner begins and ends.
func configuration(journal, word string, steps []time.Duration) string {
	var b strings.Builder
	for i, takes := range steps {
		after := ""
		if i > 0 {
			after = fmt.Sprintf("depends_on = [terraform_data.s%d]", i-1)
		}
		fmt.Fprintf(&b, `
resource "terraform_data" "s%[1]d" {
  input            = "%[2]s"
  triggers_replace = "%[2]s"
  %[3]s
  provisioner "local-exec" {
    command = "echo begin $(date +%%s%%N) %[2]s s%[1]d >> %[4]s; echo at work; sleep %.2[5]f; echo end $(date +%%s%%N) %[2]s s%[1]d >> %[4]s"
  }
}
`, i, word, after, journal, takes.Seconds())
	}
	return b.String()
}

// pack makes the archive of a configuration.
func pack(files map[string]string) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(archive, content); err != nil {
			return nil, err
		}
	}
	err := errors.Join(archive.Close(), zip.Close())
	return b.Bytes(), err
}

// newJournal makes the files of a workspace, which every user may write to.
func newJournal(path string) error {
	for _, name := range []string{path, path + lockSuffix} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			return err
		}
		if err := os.Chmod(name, 0o666); err != nil { //nolint:gosec // terraform runs as any of them
			return err
		}
	}
	return nil
}

func readJournal(path string) ([]history.Entry, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []history.Entry
	for line := range strings.Lines(string(b)) {
		e, err := parseEntry(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("journal %s: line %q: %w", path, line, err)
		}
		e.Workspace = filepath.Base(path)
		out = append(out, e)
	}
	return out, nil
}

func parseEntry(f []string) (history.Entry, error) {
	if len(f) < 4 {
		return history.Entry{}, errors.New("want a kind, a time and who")
	}
	at, err := strconv.ParseInt(f[1], 10, 64)
	e := history.Entry{Kind: f[0], At: at}
	switch {
	case err != nil:
		return e, err
	case e.Kind == history.Began || e.Kind == history.Ended:
		e.Step = history.Step{Word: f[2], Name: f[3]}
	case e.Kind == history.Overlapped && len(f) == 6:
		e.Run, e.Phase, e.OtherRun, e.OtherPhase = f[2], f[3], f[4], f[5]
	case e.Kind == history.Executed && len(f) == 5:
		e.Run, e.Phase, e.Attempt = f[2], f[3], f[4]
	default:
		return e, errors.New("unknown kind")
	}
	return e, nil
}
