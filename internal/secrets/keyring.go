package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrExposedKey is returned by OpenKeyring for a key file that others than its owner may read.
var ErrExposedKey = errors.New("key file is readable by others")

// Keyring encrypts what Gantry stores. It is safe for concurrent use.
type Keyring struct {
	primitive tink.AEAD
}

// CreateKeyring makes a new AES-256-GCM keyset and writes it to path (JSON, 0600) in one step. It never overwrites:
// when the file exists the error is fs.ErrExist, because a lost key is lost data. The folder must exist.
func CreateKeyring(path string) (*Keyring, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}
	if err := createFile0600(path, text.Bytes()); err != nil {
		return nil, err
	}
	return newKeyring(path, handle)
}

// OpenKeyring reads the keyset that CreateKeyring wrote. The error is fs.ErrNotExist when there is no file, and
// ErrExposedKey when its permissions let anyone but the owner read it.
func OpenKeyring(path string) (*Keyring, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		// The reader's error may quote what it read, which is the key: say only what is wrong.
		return nil, fmt.Errorf("encryption key file %s does not hold a tink JSON keyset: restore it from a backup", path)
	}
	return newKeyring(path, handle)
}

func newKeyring(path string, handle *keyset.Handle) (*Keyring, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("encryption key file %s holds no usable AEAD key: restore it from a backup", path)
	}
	return &Keyring{primitive: primitive}, nil
}

// readPrivate reads a file after making sure, on the same open file, that nobody but the owner can.
func readPrivate(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the encryption key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("open the encryption key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o: run chmod 600 %s, and make a new key if others may have read it",
			ErrExposedKey, path, info.Mode().Perm(), path)
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open the encryption key", Path: path, Err: errors.New("not a regular file")}
	}
	return io.ReadAll(file)
}

// Seal encrypts plaintext and binds it to aad, which is not part of the result: pass what names the place of the
// value (table, row, column), so that a ciphertext copied to another place does not open there.
func (k *Keyring) Seal(plaintext, aad []byte) ([]byte, error) {
	sealed, err := k.primitive.Encrypt(plaintext, aad)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return sealed, nil
}

// Open returns the plaintext of Seal. It fails when the ciphertext was changed, was sealed with another aad, or was
// sealed with a key that is not in the keyset.
func (k *Keyring) Open(ciphertext, aad []byte) ([]byte, error) {
	plain, err := k.primitive.Decrypt(ciphertext, aad)
	if err != nil {
		return nil, fmt.Errorf("decrypt: %w (wrong encryption key file, or the value was changed or moved)", err)
	}
	return plain, nil
}
