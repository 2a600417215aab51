package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/cli"
	"gantry.example/internal/pgserver"
	"gantry.example/internal/pki"
	"gantry.example/internal/secrets"
	"gantry.example/services/backup"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// backedUpFiles are those of the data folder that a new server should have: the authority that clients trust. Tokens are in
// the database, as hashes; the key that seals everything is not in a backup.
func backedUpFiles() []string { return []string{pki.CAFile, pki.CAKeyFile} }

// writeBackup writes a backup of this server.
func (s *server) writeBackup(ctx context.Context, w io.Writer) error {
	files := map[string][]byte{}
	for _, name := range backedUpFiles() {
		b, err := os.ReadFile(filepath.Join(s.cfg.DataDir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has a certificate of the operator's
		case err != nil:
			return err
		default:
			files[name] = b
		}
	}
	return backup.Write(ctx, w, backup.Info{Version: s.version, TakenAt: time.Now().UTC().Truncate(time.Second)}, s.seal, files, s.db)
}

// restore is one gantry admin restore.
type restore struct {
	server
	file string
	out  io.Writer
}

func restoreCommand() *cobra.Command {
	r := restore{}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a new server of a backup",
		Long: `Make a new server of a backup: FILE was written by gantry admin backup, and --encryption-key-file is a copy of the
<data-dir>/encryption-key of the server it was taken from. The data folder (and the database of --database-url) must be empty;
nothing of them is left when the restore fails.

What was not over when the backup was taken is ended: the new server can't know what became of it. Runners, attempts and browser
sessions of the old server have no say in the new one; tokens of people stay good. See docs/backup.md for what to do then.`,
		Example: "  gantry admin restore /backups/gantry-2026-01-31 --encryption-key-file /somewhere/else/encryption-key --data-dir /var/lib/gantry",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("want the FILE of one backup. See %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r.file, r.out = args[0], cmd.OutOrStdout()
			r.log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			if err := r.run(cmd.Context()); err != nil {
				return &cli.Exit{Code: cli.ExitFailure, Message: "nothing was restored: " + err.Error()}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.cfg.DataDir, "data-dir", "", "data folder of the new server; must be empty or not exist")
	f.StringVar(&r.cfg.EncryptionKeyFile, "encryption-key-file", "", "encryption key of the server that the backup was taken from")
	f.StringVar(&r.cfg.DatabaseURL, "database-url", "", "PostgreSQL to restore into instead of a private one, as postgres://…; must be empty")
	return cmd
}

// run opens the backup before it makes anything, and removes what it made when it fails.
func (r *restore) run(ctx context.Context) (err error) {
	switch {
	case r.cfg.DataDir == "":
		return errors.New("--data-dir is missing: name a new folder for the new server")
	case r.cfg.EncryptionKeyFile == "":
		return errors.New("--encryption-key-file is missing: a backup opens with the key of its server only, <data-dir>/encryption-key there")
	}
	if r.cfg.DataDir, err = filepath.Abs(r.cfg.DataDir); err != nil {
		return err
	}
	if r.seal, err = secrets.OpenKeyring(r.cfg.EncryptionKeyFile); err != nil {
		return err
	}
	f, err := os.Open(r.file)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := backup.Open(f, r.seal)
	if errors.Is(err, secrets.ErrWrongKey) {
		return fmt.Errorf("%s was made with another encryption key than the one in %s: find a copy of <data-dir>/encryption-key of the server it was taken from",
			r.file, r.cfg.EncryptionKeyFile)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.file, err)
	}
	defer b.Close()
	if err := r.takeFolder(ctx); err != nil {
		return err
	}
	defer r.lock.Close()
	loaded, err := r.fill(ctx, b)
	if err != nil {
		return errors.Join(err, r.clear())
	}
	return r.report(b.Info, loaded)
}

// takeFolder makes the folder and takes it for this restore, unless something is in it.
func (r *restore) takeFolder(ctx context.Context) error {
	entries, err := os.ReadDir(r.cfg.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("--data-dir %s is not empty: give a new folder", r.cfg.DataDir)
	}
	if err := makePassable(r.cfg.DataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if r.lock, err = os.OpenFile(filepath.Join(r.cfg.DataDir, lockFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if err := waitLock(ctx, r.lock); err != nil {
		return errors.Join(fmt.Errorf("--data-dir %s is being used: %w", r.cfg.DataDir, err), r.lock.Close())
	}
	return nil
}

func (r *restore) fill(ctx context.Context, b *backup.Backup) (loaded postgres.Loaded, err error) {
	if err := r.startPostgres(ctx); err != nil {
		return loaded, err
	}
	defer func() { err = errors.Join(err, r.stopPostgres(context.WithoutCancel(ctx))) }()
	dsn := r.cfg.DatabaseURL
	if r.pg != nil {
		dsn = r.pg.DSN(pgserver.Database)
	}
	loaded, err = postgres.Load(ctx, postgres.Config{DSN: dsn, Sealer: r.seal}, b.Dump)
	if errors.Is(err, postgres.ErrNotEmpty) {
		return loaded, errors.New("the database of --database-url is not empty: give one that is")
	}
	if err != nil {
		return loaded, err
	}
	return loaded, r.writeFiles(b.Files)
}

func (r *restore) writeFiles(files map[string][]byte) error {
	for _, name := range backedUpFiles() {
		if content, ok := files[name]; ok {
			if err := secrets.WriteFile0600(filepath.Join(r.cfg.DataDir, name), content); err != nil {
				return err
			}
		}
	}
	if r.cfg.DatabaseURL != "" { // the key does not belong where the server of such a database looks not for it
		return nil
	}
	key, err := os.ReadFile(r.cfg.EncryptionKeyFile)
	if err != nil {
		return err
	}
	return secrets.WriteFile0600(filepath.Join(r.cfg.DataDir, keyFile), key)
}

// clear removes what a failed restore left in the folder, and what Postgres has outside of it.
func (r *restore) clear() error {
	place, err := pgserver.Outside(r.cfg.DataDir)
	if err == nil && place != "" {
		err = os.RemoveAll(place)
	}
	return errors.Join(err, os.RemoveAll(r.cfg.DataDir))
}

func (r *restore) report(info backup.Info, l postgres.Loaded) error {
	start := "gantry server --data-dir " + r.cfg.DataDir
	if r.cfg.DatabaseURL != "" {
		start += " --database-url … --encryption-key-file " + r.cfg.EncryptionKeyFile
	}
	_, err := fmt.Fprintf(r.out, "Restored %d workspaces and %d runs as of %s (gantry %s).\n", l.Workspaces, l.Runs, l.At.Format(time.DateTime+" MST"), info.Version)
	for _, e := range l.Ended {
		if err == nil {
			_, err = fmt.Fprintln(r.out, "  "+fate(e))
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(r.out, "States may be older than what they describe: see docs/backup.md before anybody applies.\nStart the server: "+start)
	}
	return err
}

// fate is what became of a run that was not over.
func fate(r run.Run) string {
	switch {
	case r.OutcomeUnknown:
		return fmt.Sprintf("run %s: its apply may have gone on, so workspace %s is locked until somebody looked", r.ID, r.WorkspaceID)
	case !r.Status.Final():
		return fmt.Sprintf("run %s: only plans, begins again", r.ID)
	default:
		return fmt.Sprintf("run %s: ended, %s", r.ID, r.Status)
	}
}
