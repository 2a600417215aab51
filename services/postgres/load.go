package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"gantry.example/messages"
	"gantry.example/services/run"
)

// Loaded is what Load made.
type Loaded struct {
	At         time.Time // when the dump was taken
	Workspaces int
	Runs       int
	Ended      []run.Run // those that were not over then, as they are now
}

// Keys of meta that have to do with a load.
const (
	metaEra     = "era"     // names the time since the last load; a Cursor of another era means nothing
	metaLoading = "loading" // a load began here and did not end
)

// epochJump is more claims than any workspace sees between a backup and its restore.
const epochJump = 1 << 32

// ErrNotEmpty is returned by Load for a database that has tables.
var ErrNotEmpty = errors.New("the database is not empty")

// Load makes the database in cfg, which must be empty, what the dump in r says, and ends what was not over when it was taken:
// no attempt of that time writes any more. A database whose load did not end can't be opened. Errors: ErrNotEmpty.
func Load(ctx context.Context, cfg Config, r io.Reader) (Loaded, error) {
	d, err := connect(cfg)
	if err != nil {
		return Loaded{}, err
	}
	defer func() { _ = d.Close() }()
	out, err := d.load(ctx, bufio.NewReaderSize(r, 1<<18))
	if err != nil {
		return out, fmt.Errorf("restore the database: %w", err)
	}
	return out, nil
}

func (d *DB) load(ctx context.Context, r *bufio.Reader) (Loaded, error) {
	var out Loaded
	var tables int
	if err := d.sql.GetContext(ctx, &tables, `SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()`); err != nil {
		return out, err
	}
	if tables > 0 {
		return out, ErrNotEmpty
	}
	head, err := readItem(r)
	if err != nil {
		return out, err
	}
	out.At = head.At
	if err := d.migrateTo(ctx, head.Schema); err != nil {
		return out, err
	}
	if err := d.once(ctx, func(tx *txn) error { return loadItems(ctx, tx, r) }); err != nil {
		return out, err
	}
	if err := d.migrate(ctx); err != nil {
		return out, err
	}
	err = d.once(ctx, func(tx *txn) error {
		if err := tx.GetContext(ctx, &out.Workspaces, `SELECT count(*) FROM workspaces`); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &out.Runs, `SELECT count(*) FROM runs`); err != nil {
			return err
		}
		out.Ended, err = endPast(ctx, tx, head.At)
		return err
	})
	return out, err
}

// migrateTo brings an empty database to the schema that the dump was taken from.
func (d *DB) migrateTo(ctx context.Context, schema int64) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, d.sql.DB, dir)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; schema > newest {
		return fmt.Errorf("the backup was made by a newer gantry (its schema is %d, this program knows %d): restore it with that version", schema, newest)
	}
	_, err = p.UpTo(ctx, schema)
	return err
}

// loadItems fills the tables. The first thing to be seen by others is all of it, marked as unfinished.
func loadItems(ctx context.Context, tx *txn, r *bufio.Reader) error {
	known, err := dumpedTables(ctx, tx)
	if err != nil {
		return err
	}
	for _, t := range known { // migrations may have left rows
		if _, err := tx.ExecContext(ctx, `TRUNCATE `+quoted(t.Table)+` CASCADE`); err != nil {
			return err
		}
	}
	for {
		item, err := readItem(r)
		switch {
		case err != nil:
			return err
		case item.Table != "":
			if err := loadTable(ctx, tx, r, item); err != nil {
				return fmt.Errorf("table %s: %w", item.Table, err)
			}
		case item.Sequence != "":
			if _, err := tx.ExecContext(ctx, `SELECT setval($1::regclass, $2)`, quoted(item.Sequence), item.Last); err != nil {
				return err
			}
		case item.End:
			if _, err := io.Copy(io.Discard, r); err != nil { // only now it is known that nothing was cut off
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ($1, $2)`, metaLoading, "since "+now().Format(time.RFC3339))
			return err
		}
	}
}

func loadTable(ctx context.Context, tx *txn, r *bufio.Reader, t dumpItem) (err error) {
	if len(t.Bytes) != len(t.Columns) {
		return errUnreadable
	}
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = quoted(c)
	}
	in, err := tx.PrepareContext(ctx, `COPY `+quoted(t.Table)+` (`+strings.Join(columns, ", ")+`) FROM STDIN`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	row := make([]any, len(t.Columns))
	for {
		more, err := r.ReadByte()
		if err != nil {
			return err
		}
		if more == 0 {
			_, err := in.ExecContext(ctx)
			return err
		}
		for i, isBytes := range t.Bytes {
			value, null, err := readValue(r)
			switch {
			case err != nil:
				return err
			case null:
				row[i] = nil
			case isBytes:
				row[i] = value
			default:
				row[i] = string(value)
			}
		}
		if _, err := in.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
}

// errUnreadable is about content that a backup's seal says is ours: a dump of a version that wrote it differently.
var errUnreadable = errors.New("the dump is not of a form that this version reads")

// maxValue is what Postgres stores in one value.
const maxValue = 1 << 30

func readValue(r *bufio.Reader) (value []byte, null bool, err error) {
	n, err := binary.ReadUvarint(r)
	if err != nil || n == 0 {
		return nil, true, err
	}
	if n > maxValue {
		return nil, false, errUnreadable
	}
	value = make([]byte, n-1)
	_, err = io.ReadFull(r, value)
	return value, false, err
}

func readItem(r *bufio.Reader) (dumpItem, error) {
	var item dumpItem
	head, null, err := readHead(r)
	switch {
	case errors.Is(err, io.EOF):
		return item, io.ErrUnexpectedEOF
	case err != nil:
		return item, err
	case null || json.Unmarshal(head, &item) != nil:
		return item, errUnreadable
	}
	return item, nil
}

func readHead(r *bufio.Reader) (head []byte, null bool, err error) {
	n, err := binary.ReadUvarint(r)
	if err != nil || n == 0 || n > maxValue {
		return nil, true, err
	}
	head = make([]byte, n)
	_, err = io.ReadFull(r, head)
	return head, false, err
}

// endPast closes everything that somebody of before the backup could go on with. After it the database may be used.
func endPast(ctx context.Context, tx *txn, at time.Time) ([]run.Run, error) {
	var ids []string
	// The newest first: a run that gives its gate back would release one that is to be ended next.
	if err := tx.SelectContext(ctx, &ids, `SELECT id FROM runs WHERE status <> ALL ($1) ORDER BY position DESC`, finalStatuses()); err != nil {
		return nil, err
	}
	var ended []run.Run
	for _, id := range ids {
		after, err := endPastRun(ctx, tx, id, at)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", id, err)
		}
		ended = append(ended, after)
	}
	for _, q := range []struct {
		statement string
		args      []any
	}{
		// Whatever claims that time still saw, no epoch of it comes again.
		{`UPDATE workspaces SET epoch = epoch + $1`, []any{epochJump}},
		// The worker of the server's own pool gets a token of its own at the next start.
		{`DELETE FROM tokens WHERE kind = $1 AND pool_id = $2`, []any{TokenPool, messages.LocalPool}},
		{`DELETE FROM meta WHERE key IN ($1, $2)`, []any{metaLoading, metaSigningKey}}, // signed URLs are tokens, too
		{`INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2`, []any{metaEra, messages.NewID("era-")}},
	} {
		if _, err := tx.ExecContext(ctx, q.statement, q.args...); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

func endPastRun(ctx context.Context, tx *txn, id string, at time.Time) (run.Run, error) {
	l, err := lock(ctx, tx, id)
	if err != nil {
		return run.Run{}, err
	}
	_, _, err = l.apply(ctx, run.Restored{At: at}, Cause{Actor: "restore"})
	return l.run, err
}

// checkLoaded refuses a database whose load did not end.
func (d *DB) checkLoaded(ctx context.Context) error {
	var since string
	err := d.sql.GetContext(ctx, &since, `SELECT value FROM meta WHERE key = $1`, metaLoading)
	if err == nil {
		return fmt.Errorf("a restore into this database did not end (%s): give it an empty one and restore again", since)
	}
	if noRows(err) {
		return nil
	}
	return err
}
