package pgserver

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// maxLogBytes is when postgres.log is emptied, looked at only when Gantry starts.
const maxLogBytes = 10 << 20

// process is a started program. Whoever starts one waits for exited.
type process struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // how it ended; readable once exited is closed
	logFrom int64 // where in postgres.log its words begin
}

// startProcess starts cmd on a thread that lives as long as the program: Linux sends a parent-death signal when the
// starting *thread* ends, and Go ends idle threads.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	return p, <-started
}

// launch starts a postmaster on the data folder; it is not ready yet.
func (s *Server) launch() (*process, error) {
	file, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(s.cfg.Binaries.Dir, "postgres"), s.arguments()...)
	cmd.Env, cmd.Dir = childEnv(), s.data
	cmd.Stdout, cmd.Stderr = file, file
	var deathSignal syscall.Signal
	if s.cfg.DieWithParent {
		deathSignal = syscall.SIGQUIT
	}
	cmd.SysProcAttr = childAttr(s.user, deathSignal)
	p, err := startProcess(cmd)
	if err != nil {
		return nil, err
	}
	p.logFrom = info.Size()
	return p, nil
}

// arguments are all settings: they win over postgresql.conf, so a start does not depend on what is in that file.
// Statements and row values stay out of the log because they may hold secrets.
func (s *Server) arguments() []string {
	settings := []string{
		"listen_addresses=",
		`unix_socket_directories="` + strings.ReplaceAll(s.socket, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"port=5432",
		"max_connections=200",
		"logging_collector=off",
		"log_min_error_statement=panic",
		"log_error_verbosity=terse",
	}
	if !s.cfg.Durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", s.data}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (s *Server) logPath() string { return filepath.Join(s.cfg.Home, "postgres.log") }

// truncateLog empties a postgres.log that has become too long.
func (s *Server) truncateLog() error {
	info, err := os.Stat(s.logPath())
	if err != nil || info.Size() <= maxLogBytes {
		return nil
	}
	return os.Truncate(s.logPath(), 0)
}

// words returns the last lines that p logged, for an error.
func (s *Server) words(p *process) string {
	file, err := os.Open(s.logPath())
	if err != nil {
		return ""
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	from := max(p.logFrom, info.Size()-4096)
	text, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return lastLines(string(text))
}
