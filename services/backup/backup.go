// Package backup is the form of a backup: one file, sealed whole with the server's encryption key, which is not in it.
//
//	gantry backup 1
//	{"version":"v1.2.3","taken_at":"2026-01-02T03:04:05Z"}
//	sealed by secrets.Keyring, compressed: small files of the data folder, then the dump of the database
//
// Whoever finds a backup finds nothing; whoever restores one needs the key too, which is to be kept elsewhere.
package backup

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"gantry.example/internal/secrets"
)

// format is the first line of every backup.
const format = "gantry backup 1\n"

// maxHead bounds the second line and the files.
const maxHead = 1 << 20

// Dumper writes the content of a database as it is at one moment.
type Dumper interface {
	Dump(ctx context.Context, w io.Writer) error
}

// Info is what a backup says about itself to everybody.
type Info struct {
	Version string    `json:"version"` // of the program that made it
	TakenAt time.Time `json:"taken_at"`
}

// Write writes a backup. One that was cut off can't be restored: the caller must not keep it when there is an error.
func Write(ctx context.Context, w io.Writer, info Info, key *secrets.Keyring, files map[string][]byte, db Dumper) error {
	head, err := json.Marshal(info)
	if err != nil {
		return err
	}
	head = append([]byte(format), append(head, '\n')...)
	if _, err := w.Write(head); err != nil {
		return err
	}
	sealed, err := key.SealStream(w, head)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(sealed)
	if err != nil {
		return err
	}
	err = writeFiles(packed, files)
	if err == nil {
		err = db.Dump(ctx, packed)
	}
	if err != nil { // the stream is left without its end
		packed.Reset(nil)
		return errors.Join(err, packed.Close())
	}
	return errors.Join(packed.Close(), sealed.Close())
}

func writeFiles(w io.Writer, files map[string][]byte) error {
	b, err := json.Marshal(files)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)) //nolint:gosec // certificates
	return err
}

// Backup is one that was opened.
type Backup struct {
	Info  Info
	Files map[string][]byte // by their names in the data folder
	Dump  io.Reader         // of the database; its error may come at the very end, so nothing of it counts before
	close func()
}

// Close frees what reading holds.
func (b *Backup) Close() { b.close() }

// Open begins to read a backup. Errors: secrets.ErrWrongKey.
func Open(r io.Reader, key *secrets.Keyring) (*Backup, error) {
	buffered := bufio.NewReaderSize(r, maxHead)
	first, err := readLine(buffered)
	if err != nil || first != format {
		return nil, errors.Join(errors.New("this is no backup of gantry, or one of a newer form"), err)
	}
	second, err := readLine(buffered)
	b := &Backup{}
	if err == nil {
		err = json.Unmarshal([]byte(second), &b.Info)
	}
	if err != nil {
		return nil, fmt.Errorf("the backup's head can't be read: %w", err)
	}
	sealed, err := key.OpenStream(buffered, []byte(first+second))
	if err != nil {
		return nil, err
	}
	unpacked, err := zstd.NewReader(sealed)
	if err != nil {
		return nil, err
	}
	b.Dump, b.close = unpacked, unpacked.Close
	if b.Files, err = readFiles(unpacked); err != nil {
		b.Close()
		return nil, fmt.Errorf("the backup is damaged or was cut off: %w", err)
	}
	return b, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n') // no longer than the buffer
	return strings.Clone(string(line)), err
}

func readFiles(r io.Reader) (map[string][]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size > maxHead {
		return nil, errors.New("its files are too large")
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	var files map[string][]byte
	return files, json.Unmarshal(b, &files)
}
