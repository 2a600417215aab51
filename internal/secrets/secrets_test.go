package secrets_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gantry.example/internal/secrets"
)

func TestNewTokenIsRandomAndRecognizable(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^gantry-[0-9A-Za-z]{43}$`)
	seen := map[string]bool{}
	for range 1000 {
		token := secrets.NewToken("gantry-")
		if !shape.MatchString(token) {
			t.Fatalf("got token %q, want it to match %s", token, shape)
		}
		if seen[token] {
			t.Fatalf("got token %q twice", token)
		}
		seen[token] = true
	}
}

func TestHashToken(t *testing.T) {
	t.Parallel()
	a, b := secrets.HashToken("gantry-a"), secrets.HashToken("gantry-b")
	if len(a) != 32 || bytes.Equal(a, b) || !bytes.Equal(a, secrets.HashToken("gantry-a")) {
		t.Errorf("got %x and %x, want two different, repeatable 32-byte hashes", a, b)
	}
}

func newKeyring(t *testing.T) (*secrets.Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption-key.json")
	keyring, err := secrets.CreateKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	return keyring, path
}

func TestKeyringOpensWhatItSealedAfterAReload(t *testing.T) {
	t.Parallel()
	keyring, path := newKeyring(t)
	sealed, err := keyring.Seal([]byte("the state"), []byte("state_versions/sv-1"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("the state")) {
		t.Errorf("got ciphertext %q, want no plaintext in it", sealed)
	}
	reloaded, err := secrets.OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := reloaded.Open(sealed, []byte("state_versions/sv-1"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(plain), "the state"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKeyringRefusesTamperedMovedAndForeignCiphertext(t *testing.T) {
	t.Parallel()
	keyring, _ := newKeyring(t)
	other, _ := newKeyring(t)
	sealed, err := keyring.Seal([]byte("the state"), []byte("row 1"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		tampered := bytes.Clone(sealed)
		tampered[i] ^= 1
		if _, err := keyring.Open(tampered, []byte("row 1")); err == nil {
			t.Errorf("got no error with byte %d changed, want one", i)
		}
	}
	if _, err := keyring.Open(sealed, []byte("row 2")); err == nil {
		t.Error("got no error with the aad of another row, want one")
	}
	if _, err := other.Open(sealed, []byte("row 1")); err == nil {
		t.Error("got no error with another key, want one")
	}
	if _, err := keyring.Open(nil, []byte("row 1")); err == nil {
		t.Error("got no error for an empty ciphertext, want one")
	}
}

func TestCreateKeyringNeverOverwrites(t *testing.T) {
	t.Parallel()
	_, path := newKeyring(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.CreateKeyring(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got error %v, want fs.ErrExist", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("got another key in the file, want the first one kept")
	}
	assertAlone(t, path)
}

func TestOpenKeyringRefusals(t *testing.T) {
	t.Parallel()
	_, path := newKeyring(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), fs.FileMode(0o600); got != want {
		t.Errorf("got mode %o, want %o", got, want)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := secrets.OpenKeyring(path)
		if !errors.Is(err, secrets.ErrExposedKey) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: got error %v, want ErrExposedKey that says what to run", mode, err)
		}
	}
	if _, err := secrets.OpenKeyring(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want fs.ErrNotExist", err)
	}
	broken := filepath.Join(t.TempDir(), "key")
	if err := secrets.WriteFile0600(broken, []byte(`{"topsecret":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.OpenKeyring(broken); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("got error %v, want one that does not quote the file", err)
	}
}

func TestWriteFile0600Replaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "admin-token")
	if err := os.WriteFile(path, []byte("old, and readable"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := secrets.WriteFile0600(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != "new" || info.Mode().Perm() != 0o600 {
		t.Errorf("got %q with mode %o, want \"new\" with mode 600", data, info.Mode().Perm())
	}
	assertAlone(t, path)
	if err := secrets.WriteFile0600(filepath.Join(path, "x"), nil); err == nil {
		t.Error("got no error below a file, want one")
	}
}

// assertAlone fails when a temporary file was left beside path.
func assertAlone(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("got %v in the folder, want only %s", entries, filepath.Base(path))
	}
}
