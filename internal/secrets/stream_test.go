package secrets_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"gantry.example/internal/secrets"
)

func TestAStreamOpensWholeAndWithItsKeyOnly(t *testing.T) {
	t.Parallel()
	key, _ := newKeyring(t)
	other, _ := newKeyring(t)
	want := bytes.Repeat([]byte("the backup "), 200_000) // more than one segment
	var sealed bytes.Buffer
	w, err := key.SealStream(&sealed, []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	read := func(k *secrets.Keyring, b []byte, aad string) ([]byte, error) {
		r, err := k.OpenStream(bytes.NewReader(b), []byte(aad))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	if got, err := read(key, sealed.Bytes(), "head"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes and error %v, want all %d", len(got), err, len(want))
	}
	if _, err := read(other, sealed.Bytes(), "head"); !errors.Is(err, secrets.ErrWrongKey) {
		t.Errorf("another key: got error %v, want ErrWrongKey", err)
	}
	if _, err := read(key, sealed.Bytes(), "tail"); !errors.Is(err, secrets.ErrWrongKey) {
		t.Errorf("another head: got error %v, want ErrWrongKey", err)
	}
	for _, n := range []int{0, 3, 40, 1 << 20, sealed.Len() - 1} {
		if _, err := read(key, sealed.Bytes()[:n], "head"); err == nil {
			t.Errorf("cut off after %d bytes: got no error, want one", n)
		}
	}
	changed := bytes.Clone(sealed.Bytes())
	changed[len(changed)/2] ^= 1
	if _, err := read(key, changed, "head"); err == nil {
		t.Error("a changed byte: got no error, want one")
	}
}
