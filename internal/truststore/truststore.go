// Package truststore changes whom the operating system trusts. A Change is made first and carried out then, so that it can be
// shown and tested on every system.
package truststore

import (
	"context"
	"crypto/sha1" // a name in the stores of macOS and Windows, no protection
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrUnknown is for a Linux whose store is none of those known here.
var ErrUnknown = errors.New("this system keeps its certificates in no known place")

// System is an operating system.
type System struct {
	OS    string // as runtime.GOOS
	Admin bool   // may change it for every user
	Home  string // folder of the user
	Root  string // below which the files are; empty for the real ones
}

// Authority is a certificate that is to be trusted, or not any more.
type Authority struct {
	File string // that has it, PEM
	Name string // for the file in the store: letters, digits, dashes
	Cert *x509.Certificate
}

// Change is what there is to do: a file to write or to remove, then commands.
type Change struct {
	Write, Remove string
	Content       []byte // of the file to write
	Commands      [][]string
	// Optional commands may fail: what they undo is perhaps not there.
	Optional [][]string
}

// linuxStore is a folder for certificates that an administrator adds, and the command that takes it over.
type linuxStore struct {
	dir, ext string
	command  []string
}

func linuxStores() []linuxStore {
	return []linuxStore{
		{"/etc/pki/ca-trust/source/anchors", ".pem", []string{"update-ca-trust", "extract"}},       // RHEL, Fedora
		{"/usr/local/share/ca-certificates", ".crt", []string{"update-ca-certificates"}},           // Debian, Ubuntu, Alpine
		{"/etc/ca-certificates/trust-source/anchors", ".crt", []string{"trust", "extract-compat"}}, // Arch
		{"/usr/share/pki/trust/anchors", ".pem", []string{"update-ca-certificates"}},               // SUSE
	}
}

func (s System) linux() (linuxStore, error) {
	for _, store := range linuxStores() {
		store.dir = filepath.Join(s.Root, store.dir)
		if info, err := os.Stat(store.dir); err == nil && info.IsDir() {
			return store, nil
		}
	}
	return linuxStore{}, ErrUnknown
}

// Add is how the authority becomes trusted. Errors: ErrUnknown.
func (s System) Add(a Authority) (Change, error) {
	switch s.OS {
	case "darwin":
		argv := []string{"security", "add-trusted-cert"}
		if s.Admin {
			argv = append(argv, "-d")
		}
		return Change{Commands: [][]string{append(argv, "-r", "trustRoot", "-k", s.keychain(), a.File)}}, nil
	case "windows":
		return Change{Commands: [][]string{append(s.certutil(), "-addstore", "-f", "Root", a.File)}}, nil
	default:
		store, err := s.linux()
		content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Cert.Raw})
		return Change{Write: filepath.Join(store.dir, a.Name+store.ext), Content: content, Commands: [][]string{store.command}}, err
	}
}

// Remove undoes Add. Errors: ErrUnknown.
func (s System) Remove(a Authority) (Change, error) {
	digest := sha1.Sum(a.Cert.Raw)
	hash := strings.ToUpper(fmt.Sprintf("%x", digest))
	switch s.OS {
	case "darwin":
		settings := []string{"security", "remove-trusted-cert"}
		if s.Admin {
			settings = append(settings, "-d")
		}
		return Change{Optional: [][]string{append(settings, a.File)}, Commands: [][]string{{"security", "delete-certificate", "-Z", hash, s.keychain()}}}, nil
	case "windows":
		return Change{Commands: [][]string{append(s.certutil(), "-delstore", "Root", hash)}}, nil
	default:
		store, err := s.linux()
		return Change{Remove: filepath.Join(store.dir, a.Name+store.ext), Commands: [][]string{store.command}}, err
	}
}

func (s System) keychain() string {
	if s.Admin {
		return "/Library/Keychains/System.keychain"
	}
	return filepath.Join(s.Home, "Library/Keychains/login.keychain-db")
}

// certutil changes the store of this user, who is asked by Windows: for that of the machine one has to be its administrator.
func (s System) certutil() []string {
	if s.Admin {
		return []string{"certutil"}
	}
	return []string{"certutil", "-user"}
}

// Done reports whether there is nothing to do, as far as files tell.
func (c Change) Done() bool {
	switch {
	case c.Write != "":
		there, err := os.ReadFile(c.Write)
		return err == nil && string(there) == string(c.Content)
	case c.Remove != "":
		_, err := os.Stat(c.Remove)
		return errors.Is(err, os.ErrNotExist)
	default:
		return false
	}
}

// Apply carries it out.
func (c Change) Apply(ctx context.Context) error {
	if c.Write != "" {
		if err := os.WriteFile(c.Write, c.Content, 0o644); err != nil { // everybody reads whom the system trusts
			return err
		}
	}
	if c.Remove != "" {
		if err := os.Remove(c.Remove); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	for _, argv := range c.Optional {
		_ = run(ctx, argv) // see the field
	}
	for _, argv := range c.Commands {
		if err := run(ctx, argv); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, argv []string) error {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput() // fixed programs
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
