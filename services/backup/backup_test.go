package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/secrets"
	"gantry.example/services/backup"
)

// dump is the content of a database; "" fails.
type dump string

func (d dump) Dump(_ context.Context, w io.Writer) error {
	if d == "" {
		return errors.New("the database is gone")
	}
	_, err := io.WriteString(w, string(d))
	return err
}

func newKey(t *testing.T) *secrets.Keyring {
	t.Helper()
	key, err := secrets.CreateKeyring(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestABackupOpensWithItsKeyOnly(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	info := backup.Info{Version: "v1", TakenAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	files := map[string][]byte{"ca.pem": []byte("certificate")}
	content := dump(strings.Repeat("everything ", 500_000))
	var b bytes.Buffer
	if err := backup.Write(t.Context(), &b, info, key, files, content); err != nil {
		t.Fatal(err)
	}
	if n := b.Len(); n > 10_000 || bytes.Contains(b.Bytes(), []byte("everything")) {
		t.Errorf("got %d bytes, want it compressed and sealed", n)
	}
	opened, err := backup.Open(bytes.NewReader(b.Bytes()), key)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if diff := cmp.Diff([]any{info, files}, []any{opened.Info, opened.Files}); diff != "" {
		t.Errorf("head (-want +got):\n%s", diff)
	}
	if got, err := io.ReadAll(opened.Dump); err != nil || string(got) != string(content) {
		t.Errorf("got %d bytes and error %v, want %d", len(got), err, len(content))
	}
	if _, err := backup.Open(bytes.NewReader(b.Bytes()), newKey(t)); !errors.Is(err, secrets.ErrWrongKey) {
		t.Errorf("another key: got error %v, want ErrWrongKey", err)
	}
	if _, err := backup.Open(strings.NewReader("PK\x03\x04 something else"), key); err == nil {
		t.Error("no backup at all: got no error, want one")
	}
}

func TestAFailedBackupDoesNotOpenWhole(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	var b bytes.Buffer
	if err := backup.Write(t.Context(), &b, backup.Info{}, key, nil, dump("")); err == nil {
		t.Error("got no error, want that of the dump")
	}
	opened, err := backup.Open(&b, key)
	if err == nil {
		defer opened.Close()
		_, err = io.ReadAll(opened.Dump)
	}
	if err == nil {
		t.Error("a part was taken for the whole")
	}
}
