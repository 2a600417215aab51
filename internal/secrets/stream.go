package secrets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
)

// maxStreamKey bounds what is read of a stream's head.
const maxStreamKey = 64 << 10

// SealStream returns a writer that encrypts what does not fit in memory to w, bound to aad. Every stream has a key of its own,
// which is at its head, sealed. Close ends the stream: one that was cut off does not open.
func (k *Keyring) SealStream(w io.Writer, aad []byte) (io.WriteCloser, error) {
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("encrypt a stream: %w", err)
	}
	var sealed bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&sealed), k.primitive, aad); err != nil {
		return nil, fmt.Errorf("encrypt a stream: %w", err)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(sealed.Len())) //nolint:gosec // a few hundred bytes
	if _, err := w.Write(append(head, sealed.Bytes()...)); err != nil {
		return nil, err
	}
	stream, err := streamingaead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("encrypt a stream: %w", err)
	}
	return stream.NewEncryptingWriter(w, aad)
}

// ErrWrongKey is returned by OpenStream for a stream of another keyring, or of other associated data.
var ErrWrongKey = errors.New("sealed with another encryption key")

// OpenStream reads what SealStream wrote. Reading fails where the stream was changed or cut off. Errors: ErrWrongKey.
func (k *Keyring) OpenStream(r io.Reader, aad []byte) (io.Reader, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil || size > maxStreamKey {
		return nil, errors.Join(errors.New("the stream has no usable head"), err)
	}
	sealed := make([]byte, size)
	if _, err := io.ReadFull(r, sealed); err != nil {
		return nil, fmt.Errorf("the stream has no usable head: %w", err)
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(sealed)), k.primitive, aad)
	if err != nil {
		return nil, ErrWrongKey
	}
	stream, err := streamingaead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("decrypt a stream: %w", err)
	}
	return stream.NewDecryptingReader(r, aad)
}
