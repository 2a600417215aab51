package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// A dump is a sequence of items, each a JSON head with its length before it. A table's head is followed by its rows: for each
// a 1, then for each column 0 for NULL or its length plus 1 and its bytes; a 0 ends them. Values are the text that Postgres
// reads and writes, but those of bytea are as they are. Numbers are uvarints.
type dumpItem struct {
	// Of the first item.
	Schema int64     `json:"schema,omitempty"` // the newest migration
	At     time.Time `json:"at,omitzero"`
	// Of a table.
	Table   string   `json:"table,omitempty"`
	Columns []string `json:"columns,omitempty"`
	Bytes   []bool   `json:"bytes,omitempty"` // which of the columns are bytea
	// Of a sequence.
	Sequence string `json:"sequence,omitempty"`
	Last     int64  `json:"last,omitempty"`
	// Of the last item.
	End bool `json:"end,omitempty"`
}

// notDumped are the tables that mean nothing elsewhere, and those that refer to them. What is still to be sent is about the world of this server; and
// without the tokens of attempts and the sessions of browsers nobody who had one before can write after a restore.
func notDumped() []string {
	return []string{"goose_db_version", "outbox", "notifications", "attempt_tokens", "sessions", "oauth_codes", "login_attempts", "event_readers"}
}

// Dump writes everything that a new database needs to become this one, as it is at one moment: Load reads it. The server
// goes on meanwhile. Secrets in it are sealed as they are in the tables.
func (d *DB) Dump(ctx context.Context, to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<18)
	err := d.read(ctx, func(tx *txn) error {
		head := dumpItem{At: now()}
		if err := tx.GetContext(ctx, &head.Schema, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`); err != nil {
			return err
		}
		tables, err := dumpedTables(ctx, tx)
		if err != nil {
			return err
		}
		if err := writeItem(w, head); err != nil {
			return err
		}
		for _, t := range tables {
			if err := dumpTable(ctx, tx, w, t); err != nil {
				return fmt.Errorf("table %s: %w", t.Table, err)
			}
		}
		if err := dumpSequences(ctx, tx, w); err != nil {
			return err
		}
		return writeItem(w, dumpItem{End: true})
	})
	if err != nil {
		return fmt.Errorf("dump of the database: %w", err)
	}
	return w.Flush()
}

// dumpedTables describes the tables, each after those it refers to.
func dumpedTables(ctx context.Context, tx *txn) ([]dumpItem, error) {
	var columns []struct {
		Table  string `db:"table_name"`
		Column string `db:"column_name"`
		Type   string `db:"udt_name"`
	}
	// A transaction id (xid8) is of this database only: a new one gives its own.
	if err := tx.SelectContext(ctx, &columns, `
		SELECT c.table_name, c.column_name, c.udt_name
		FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.is_generated = 'NEVER' AND c.udt_name <> 'xid8'
		  AND c.table_name <> ALL ($1)
		ORDER BY c.table_name, c.ordinal_position`, textArray(notDumped())); err != nil {
		return nil, err
	}
	var tables []dumpItem
	for _, c := range columns {
		if len(tables) == 0 || tables[len(tables)-1].Table != c.Table {
			tables = append(tables, dumpItem{Table: c.Table})
		}
		t := &tables[len(tables)-1]
		t.Columns, t.Bytes = append(t.Columns, c.Column), append(t.Bytes, c.Type == "bytea")
	}
	var refs []struct {
		From string `db:"from_table"`
		To   string `db:"to_table"`
	}
	err := tx.SelectContext(ctx, &refs, `
		SELECT a.relname AS from_table, b.relname AS to_table
		FROM pg_constraint k JOIN pg_class a ON a.oid = k.conrelid JOIN pg_class b ON b.oid = k.confrelid
		WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace AND a.oid <> b.oid`)
	var ordered []dumpItem
	placed := map[string]bool{}
	for len(tables) > 0 && err == nil {
		ready := slices.IndexFunc(tables, func(t dumpItem) bool {
			for _, r := range refs {
				if r.From == t.Table && !placed[r.To] {
					return false
				}
			}
			return true
		})
		if ready < 0 {
			return nil, fmt.Errorf("tables refer to each other in a circle, or to one that is not dumped: %v", tables)
		}
		placed[tables[ready].Table] = true
		ordered = append(ordered, tables[ready])
		tables = slices.Delete(tables, ready, ready+1)
	}
	return ordered, err
}

func dumpTable(ctx context.Context, tx *txn, w *bufio.Writer, t dumpItem) error {
	if err := writeItem(w, t); err != nil {
		return err
	}
	exprs := make([]string, len(t.Columns))
	values, targets := make([][]byte, len(t.Columns)), make([]any, len(t.Columns))
	for i, c := range t.Columns {
		if exprs[i] = quoted(c); !t.Bytes[i] {
			exprs[i] += "::text"
		}
		targets[i] = &values[i]
	}
	rows, err := tx.QueryContext(ctx, `SELECT `+strings.Join(exprs, ", ")+` FROM `+quoted(t.Table))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		buf := []byte{1}
		for _, v := range values {
			if v == nil {
				buf = append(buf, 0)
				continue
			}
			buf = append(binary.AppendUvarint(buf, uint64(len(v))+1), v...)
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.WriteByte(0)
}

func dumpSequences(ctx context.Context, tx *txn, w io.Writer) error {
	var all []struct {
		Name string `db:"sequencename"`
		Last int64  `db:"last_value"`
	}
	// A sequence is not part of the snapshot, but never behind what is.
	if err := tx.SelectContext(ctx, &all, `
		SELECT sequencename, last_value FROM pg_sequences
		WHERE schemaname = current_schema() AND last_value IS NOT NULL AND sequencename NOT LIKE 'goose%' ORDER BY 1`); err != nil {
		return err
	}
	for _, s := range all {
		if err := writeItem(w, dumpItem{Sequence: s.Name, Last: s.Last}); err != nil {
			return err
		}
	}
	return nil
}

func writeItem(w io.Writer, item dumpItem) error {
	head, err := json.Marshal(item)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.AppendUvarint(nil, uint64(len(head))), head...))
	return err
}

// quoted is a name as SQL takes it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
