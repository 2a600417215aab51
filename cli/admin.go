package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// adminCommand holds what only whoever runs the server needs.
func (a *app) adminCommand() *cobra.Command {
	backup := a.connects(&cobra.Command{
		Use: "backup FILE", Short: "Back up everything the server keeps", Args: exactly("FILE"),
		Long: "Writes a backup of the whole server to FILE (- for stdout) while it runs: workspaces, states, runs, logs, variables and\n" +
			"tokens, as they are at one moment. The backup is sealed with the server's encryption key, which is not in it: without\n" +
			"a copy of that key, kept elsewhere, it is worthless. gantry admin restore makes a new server of it.",
		Example: "  gantry admin backup /backups/gantry-$(date +%F)\n" +
			"  cp /var/lib/gantry/encryption-key /somewhere/else/   # once",
		RunE: func(cmd *cobra.Command, args []string) error { return a.backup(cmd.Context(), args[0]) },
	})
	return group("admin", "Look after the server itself", append([]*cobra.Command{backup, a.deadLettersCommand()}, a.env.Admin...)...)
}

// backup writes beside the file and renames at the end: a file of that name is always a whole backup.
func (a *app) backup(ctx context.Context, path string) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if path == "-" {
		began := false
		return c.Backup(ctx, func() (io.Writer, error) {
			if began {
				return nil, errors.New("the connection broke, and what stdout has can't be taken back: begin again")
			}
			began = true
			return a.env.Stdout, nil
		})
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("the backup can't be written: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = c.Backup(ctx, func() (io.Writer, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return f, f.Truncate(0)
	})
	size, sizeErr := f.Seek(0, io.SeekEnd)
	if err := errors.Join(err, sizeErr, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("no backup was made: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("the backup can't be written: %w", err)
	}
	_, err = fmt.Fprintf(a.env.Stdout, "Backed up to %s (%d bytes). Keep a copy of the server's encryption key elsewhere: without it nobody can restore this.\n", path, size)
	return err
}
