package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// dataName is the data folder in a home, initPrefix what it is called while initdb is at work on it.
	dataName, initPrefix = "data", "init-"
	// Superuser is the only role of a private Postgres.
	Superuser = "gantry"
)

// initialize makes the data folder when there is none, and refuses one that the binaries cannot read.
func (s *Server) initialize(ctx context.Context) error {
	unfinished, err := filepath.Glob(filepath.Join(s.cfg.Home, initPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range unfinished {
		s.cfg.Log.Info("removing an unfinished initdb", "dir", dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	have, err := exists(s.data)
	if err != nil {
		return err
	}
	if !have {
		return s.initdb(ctx)
	}
	major, err := Major(s.cfg.Home)
	if err != nil {
		return err
	}
	if major == 0 {
		return fmt.Errorf("%s exists but is not a PostgreSQL data folder: move it away or restore it from a backup", s.data)
	}
	if major != s.cfg.Binaries.Major {
		return fmt.Errorf("the data folder %s was made by PostgreSQL %d, but the programs in %s are PostgreSQL %d: install PostgreSQL %d"+
			" (apt-get install postgresql-%d, or brew install postgresql@%d), or move the data with pg_dump and give --database-url",
			s.data, major, s.cfg.Binaries.Dir, s.cfg.Binaries.Major, major, major, major)
	}
	return s.user.ownTree(s.data)
}

// initdb works in a folder with a name of its own and renames it at the end. So a data folder is always whole, and an
// initdb that outlives its Gantry cannot write into the folder of the next one.
func (s *Server) initdb(ctx context.Context) error {
	temp, err := os.MkdirTemp(s.cfg.Home, initPrefix)
	if err != nil {
		return err
	}
	err = s.user.own(temp)
	if err == nil {
		err = s.runInitdb(ctx, temp)
	}
	if err == nil {
		err = os.Rename(temp, s.data)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return syncFolder(s.cfg.Home)
}

func (s *Server) runInitdb(ctx context.Context, dir string) error {
	args := []string{
		"--pgdata=" + dir, "--username=" + Superuser, "--auth-local=trust", "--auth-host=reject",
		"--encoding=UTF8", "--locale=C", "--data-checksums",
	}
	if !s.cfg.Durable {
		args = append(args, "--no-sync")
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.cfg.Binaries.Dir, "initdb"), args...)
	cmd.Env, cmd.Dir = childEnv(), dir
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = childAttr(s.user, syscall.SIGKILL)
	cmd.WaitDelay = 5 * time.Second
	p, err := startProcess(cmd)
	if err == nil {
		<-p.exited
		err = p.err
	}
	if err != nil {
		return fmt.Errorf("initdb in %s: %w: %s", dir, errors.Join(err, ctx.Err()), lastLines(output.String()))
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// lastLines returns the end of what a program said, short enough for an error.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
