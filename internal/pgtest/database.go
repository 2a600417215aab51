package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

const databaseTimeout = time.Minute

// New returns the address of an empty database of this test's own, which is dropped at its end. The package's TestMain
// must call Main.
func New(t testing.TB) string {
	t.Helper()
	return create(t, "template1")
}

// NewFrom is New with a copy of a database that prepare filled, for example by the migrations: a quick copy per test
// instead of the whole work. What prepare is run on is kept on the server under the name that template hashes to, and
// prepare runs once per name, whichever test comes first; so template must change with what prepare does (on
// the private server of Main any constant will do). prepare must be deterministic and should close its connections.
func NewFrom(t testing.TB, template string, prepare func(dsn string) error) string {
	t.Helper()
	sum := sha256.Sum256([]byte(template))
	name := "template_" + hex.EncodeToString(sum[:12])
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	if err := ensureTemplate(ctx, name, prepare); err != nil {
		t.Fatalf("pgtest: prepare the template %q: %v", template, err)
	}
	return create(t, name)
}

// ensureTemplate uses the server, not this process, as the memory of what is done: then several test binaries can
// share a server. A session lock lets one of them work while the others wait; a killed one frees it.
func ensureTemplate(ctx context.Context, name string, prepare func(dsn string) error) error {
	db, err := sql.Open("postgres", os.Getenv(EnvDSN))
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, lockKey(name)); err != nil {
		return err
	}
	var done bool
	// Marking it a template is the last step, so a half-made one is known by the lack of the mark.
	err = conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`, name).Scan(&done)
	if err == nil && !done {
		err = makeTemplate(ctx, conn, name, prepare)
	}
	// Closing the connection would free the lock too, but only some time later.
	_, unlockErr := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, lockKey(name))
	if err != nil {
		return err
	}
	return unlockErr
}

func makeTemplate(ctx context.Context, conn *sql.Conn, name string, prepare func(dsn string) error) error {
	quoted := pq.QuoteIdentifier(name)
	for _, statement := range []string{`DROP DATABASE IF EXISTS ` + quoted + ` WITH (FORCE)`, `CREATE DATABASE ` + quoted} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	dsn, err := dsnOf(name)
	if err != nil {
		return err
	}
	if err := prepare(dsn); err != nil {
		return err
	}
	// Nobody may be connected to a database that is copied.
	for _, statement := range []string{
		`ALTER DATABASE ` + quoted + ` ALLOW_CONNECTIONS false`,
		`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ` + pq.QuoteLiteral(name),
		`ALTER DATABASE ` + quoted + ` IS_TEMPLATE true`,
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// create makes a database as a copy of template.
func create(t testing.TB, template string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	dsn, err := dsnOf(name)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	if err := onServer(`CREATE DATABASE ` + pq.QuoteIdentifier(name) + ` TEMPLATE ` + pq.QuoteIdentifier(template)); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := onServer(`DROP DATABASE ` + pq.QuoteIdentifier(name) + ` WITH (FORCE)`); err != nil {
			t.Errorf("pgtest: drop the database: %v", err)
		}
	})
	return dsn
}

func onServer(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	db, err := sql.Open("postgres", os.Getenv(EnvDSN))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// dsnOf returns the address of another database of the server.
func dsnOf(database string) (string, error) {
	dsn := os.Getenv(EnvDSN)
	if dsn == "" {
		return "", fmt.Errorf("there is no server: the package's TestMain must be os.Exit(pgtest.Main(m))")
	}
	address, err := url.Parse(dsn)
	if err != nil || (address.Scheme != "postgres" && address.Scheme != "postgresql") {
		return "", fmt.Errorf("%s is not a postgres:// URL", EnvDSN)
	}
	address.Path = "/" + database
	return address.String(), nil
}

func lockKey(name string) int64 {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	return int64(hash.Sum64())
}
