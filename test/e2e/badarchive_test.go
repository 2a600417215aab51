package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// gibibyte is what a configuration may have unpacked.
const gibibyte = 1 << 30

// TestBadArchives: an archive that nobody's own tools make ends its run with what is wrong with it, by the name of the entry, writes
// nothing beside the configuration and harms nobody else.
func TestBadArchives(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	outside := filepath.Join(t.TempDir(), "evil")
	text := func(name, content string) entry {
		return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}, content}
	}
	link := func(kind byte, name, to string) entry {
		return entry{tar.Header{Name: name, Typeflag: kind, Linkname: to, Mode: 0o777}, ""}
	}
	const ws = "default/network"
	s.must("run", config(t, `output "x" { value = 1 }`), "-w", ws, "--auto-approve")
	for _, tt := range []struct {
		name, want string
		archive    []byte
	}{
		{"above", "../../../../../../.." + outside, archive(t, text("../../../../../../.."+outside, "x"))},
		{"absolute", outside, archive(t, text(outside, "x"))},
		{"link out", "secret.tf", archive(t, link(tar.TypeSymlink, "secret.tf", "../../encryption-key"))},
		{"link to a file of the host", "passwd.tf", archive(t, link(tar.TypeSymlink, "passwd.tf", "/etc/passwd"))},
		{"through a link", "d/x.tf", archive(t, link(tar.TypeSymlink, "d", "."), text("d/x.tf", "x"))},
		{"hard link", "hard.tf", archive(t, text("main.tf", ""), link(tar.TypeLink, "hard.tf", "main.tf"))},
		{"device", "dev.tf", archive(t, link(tar.TypeBlock, "dev.tf", ""))},
		{"bomb", "zeros.tf", bomb(t, "zeros.tf", gibibyte+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := s.runArchive(t, ws, tt.archive)
			if got := s.waitFor(id, "errored", "applied", "planned_and_finished").Status; got != "errored" {
				t.Errorf("got %s, want errored", got)
			}
			shown, log := s.must("runs", "show", id).stdout, s.must("runs", "logs", id).stdout
			for _, want := range []string{"configuration.invalid", tt.want} {
				if !strings.Contains(shown, want) {
					t.Errorf("got\n%s\nwant %q in it", shown, want)
				}
			}
			if !strings.Contains(log, tt.want) {
				t.Errorf("got log\n%s\nwant %q in it", log, tt.want)
			}
		})
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Errorf("%s was written", outside)
	}
	s.must("run", config(t, `output "x" { value = 2 }`), "-w", ws, "--auto-approve")
}

// entry is one of an archive.
type entry struct {
	header  tar.Header
	content string
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// bomb is an archive of one file of so many zeros: what gzip makes of the same piece of them, as often as is needed.
func bomb(t *testing.T, name string, size int64) []byte {
	t.Helper()
	pack := func(b []byte) []byte {
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err == nil {
			_, err = z.Write(b)
		}
		if err == nil {
			err = z.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return packed.Bytes()
	}
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: size}); err != nil {
		t.Fatal(err)
	}
	const piece = 16 << 20
	zeros := make([]byte, piece)
	packed, one := pack(head.Bytes()), pack(zeros)
	for range size / piece {
		packed = append(packed, one...)
	}
	const block = 512 // tar's; two empty ones are its end
	rest := size % piece
	return append(packed, pack(zeros[:(rest+block-1)/block*block+2*block])...)
}

// runArchive uploads an archive to the workspace as a program does that makes its own, and plans it.
func (s *server) runArchive(t *testing.T, workspace string, archive []byte) (id string) {
	t.Helper()
	var ws struct{ ID string }
	decode(t, s.must("workspaces", "show", workspace, "-o", "json").stdout, &ws)
	var made struct {
		Data struct {
			ID         string
			Attributes struct {
				UploadURL string `json:"upload-url"`
			}
		}
	}
	call := func(path, body string) {
		status, answer := s.api(http.MethodPost, path, body)
		if status != http.StatusCreated {
			t.Fatalf("POST %s: got %d: %s", path, status, answer)
		}
		decode(t, string(answer), &made)
	}
	call("/workspaces/"+ws.ID+"/configuration-versions", `{"data":{"type":"configuration-versions","attributes":{"auto-queue-runs":false}}}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, made.Data.Attributes.UploadURL, bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("upload: got %s: %s", answer.Status, said)
	}
	call("/runs", fmt.Sprintf(`{"data":{"type":"runs","attributes":{"auto-apply":true},"relationships":{
		"workspace":{"data":{"type":"workspaces","id":%q}},"configuration-version":{"data":{"type":"configuration-versions","id":%q}}}}}`, ws.ID, made.Data.ID))
	return made.Data.ID
}
