package truststore_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/pki"
	"gantry.example/internal/truststore"
)

func authority(t *testing.T) truststore.Authority {
	t.Helper()
	dir := t.TempDir()
	if _, err := pki.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, pki.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return truststore.Authority{File: "/data/ca.pem", Name: "gantry-1", Cert: cert}
}

// TestCommands: what is done where no test of this project runs.
func TestCommands(t *testing.T) {
	t.Parallel()
	a := authority(t)
	for name, tt := range map[string]struct {
		system truststore.System
		add    [][]string
		remove []string // without the hash, which is the last but keychain
	}{
		"macOS": {
			system: truststore.System{OS: "darwin", Home: "/Users/ann"},
			add:    [][]string{{"security", "add-trusted-cert", "-r", "trustRoot", "-k", "/Users/ann/Library/Keychains/login.keychain-db", "/data/ca.pem"}},
			remove: []string{"security", "delete-certificate", "-Z"},
		},
		"macOS, root": {
			system: truststore.System{OS: "darwin", Admin: true},
			add:    [][]string{{"security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", "/Library/Keychains/System.keychain", "/data/ca.pem"}},
			remove: []string{"security", "delete-certificate", "-Z"},
		},
		"Windows": {
			system: truststore.System{OS: "windows"},
			add:    [][]string{{"certutil", "-user", "-addstore", "-f", "Root", "/data/ca.pem"}},
			remove: []string{"certutil", "-user", "-delstore", "Root"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			add, err := tt.system.Add(a)
			if err != nil || add.Write != "" {
				t.Fatalf("got %v, %v, want commands only", add, err)
			}
			if diff := cmp.Diff(tt.add, add.Commands); diff != "" {
				t.Errorf("add (-want +got):\n%s", diff)
			}
			remove, err := tt.system.Remove(a)
			if err != nil || len(remove.Commands) != 1 {
				t.Fatalf("got %v, %v, want one command", remove, err)
			}
			got := remove.Commands[0]
			if diff := cmp.Diff(tt.remove, got[:len(tt.remove)]); diff != "" || len(got[len(tt.remove)]) != 40 {
				t.Errorf("remove: got %q, want the SHA-1 after %q", got, tt.remove)
			}
		})
	}
}

// TestLinux: the folder that is there decides; adding and removing leave it as it was.
func TestLinux(t *testing.T) {
	t.Parallel()
	a := authority(t)
	for dir, want := range map[string][]string{
		"/usr/local/share/ca-certificates":          {"gantry-1.crt", "update-ca-certificates"},
		"/etc/pki/ca-trust/source/anchors":          {"gantry-1.pem", "update-ca-trust", "extract"},
		"/etc/ca-certificates/trust-source/anchors": {"gantry-1.crt", "trust", "extract-compat"},
		"/usr/share/pki/trust/anchors":              {"gantry-1.pem", "update-ca-certificates"},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			s := truststore.System{OS: "linux", Root: t.TempDir()}
			if err := os.MkdirAll(filepath.Join(s.Root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			change, err := s.Add(a)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.Root, dir, want[0])
			if diff := cmp.Diff([][]string{want[1:]}, change.Commands); diff != "" || change.Write != path {
				t.Errorf("got %s and commands (-want +got):\n%s\nwant %s", change.Write, diff, path)
			}
			if change.Done() {
				t.Error("got done before it was")
			}
			change.Commands = nil
			if err := change.Apply(t.Context()); err != nil || !change.Done() {
				t.Fatalf("got %v, done %v, want it done", err, change.Done())
			}
			change, err = s.Remove(a)
			if err != nil || change.Remove != path || change.Done() {
				t.Fatalf("got %+v, %v, want %s to be removed", change, err, path)
			}
			change.Commands = nil
			if err := change.Apply(t.Context()); err != nil || !change.Done() {
				t.Errorf("got %v, done %v, want it done", err, change.Done())
			}
		})
	}
	if _, err := (truststore.System{OS: "linux", Root: t.TempDir()}).Add(a); !errors.Is(err, truststore.ErrUnknown) {
		t.Errorf("no store: got %v, want %v", err, truststore.ErrUnknown)
	}
}

// TestFailedCommand: its output is in the error.
func TestFailedCommand(t *testing.T) {
	t.Parallel()
	err := truststore.Change{Commands: [][]string{{"sh", "-c", "echo broken; exit 3"}}, Optional: [][]string{{"false"}}}.Apply(t.Context())
	if err == nil || !cmp.Equal(err.Error(), "sh -c echo broken; exit 3: exit status 3: broken") {
		t.Errorf("got %v, want the command and what it printed", err)
	}
}
