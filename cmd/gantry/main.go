// Command gantry is the whole of Gantry: the server, the runner processes it starts, and the command line.
//
//	gantry server     server.go: the parts and their order; roles.go: which of them; parts.go, serve.go, worker.go: each part
//	gantry admin      nats_config.go: the configuration of a NATS cluster
//	gantry runner     one attempt of a task; started by the server, never by people
//	gantry …          package cli
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gantry.example/cli"
	"gantry.example/internal/failpoint"
	"gantry.example/internal/settings"
	"gantry.example/internal/telemetry"
	"gantry.example/workers/process"
	"gantry.example/workers/runner"
	"gantry.example/workers/station"
	"gantry.example/workers/terraform/shim"
)

var version = "dev" // set by the linker: see Makefile

func main() {
	if filepath.Base(os.Args[0]) == shim.Name {
		os.Exit(shim.Main(os.Args, os.Environ()))
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	code := cli.Main(context.Background(), cli.Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinTerminal: isTerminal(os.Stdin), StdoutTerminal: isTerminal(os.Stdout), StderrTerminal: isTerminal(os.Stderr),
		Getenv: os.Getenv, Signals: signals, Version: version, Admin: []*cobra.Command{restoreCommand(), natsConfigCommand(), kubernetesSecretsCommand()},
	}, os.Args[1:], serverCommand(), runnerCommand())
	os.Exit(code)
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func serverCommand() *cobra.Command {
	var cfg config
	var file string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the server: API, queue, database and the local worker in one process",
		Long: `Run the server: API, queue, database and the local worker in one process.

Every flag can also be given as GANTRY_<FLAG> (GANTRY_DATA_DIR), as GANTRY_<FLAG>_FILE naming a file that holds the value,
or in a YAML file named by --config. Flag > variable > _FILE > file > default.

The first SIGTERM or Ctrl-C stops in order (running tasks go on and report to the next start), the second at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("config") {
				file = os.Getenv(settings.EnvName("config"))
			}
			if err := settings.Load(cmd.Flags(), os.Getenv, file); err != nil {
				return err
			}
			return serve(cmd, cfg)
		},
	}
	cfg.flags(cmd.Flags())
	cmd.Flags().StringVar(&file, "config", "", "YAML file of settings, flag names as keys")
	return cmd
}

func serve(cmd *cobra.Command, cfg config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	fail, err := failpoint.Armed(os.Getenv(failpoint.Env))
	if err != nil {
		return err
	}
	var users process.Users
	if cfg.has(roleWorker) {
		if users, err = cfg.chooseRunUsers(); err != nil {
			return err
		}
	}
	log := cfg.Log.New(os.Stderr)
	// From the first signal on, the next one has its default effect again: it ends the process at once.
	stop := context.AfterFunc(cmd.Context(), func() { signal.Reset(syscall.SIGINT, syscall.SIGTERM) })
	defer stop()
	s := &server{cfg: cfg, version: version, out: cmd.OutOrStdout(), log: log, fail: fail, users: users}
	if cfg.has(roleWorker) {
		station.TellRights(users, log)
	}
	if err := s.run(cmd.Context()); err != nil {
		return &cli.Exit{Code: cli.ExitFailure, Message: err.Error()}
	}
	return nil
}

func runnerCommand() *cobra.Command {
	var logs telemetry.LogConfig
	cmd := &cobra.Command{
		Use:    "runner",
		Short:  "Carry out one attempt, given on standard input",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logs.Validate(); err != nil {
				return err
			}
			log := logs.New(cmd.ErrOrStderr())
			code := runner.Main(cmd.InOrStdin(), runner.Config{Log: log, Connect: runner.ConnectNATS(log)})
			if code != 0 {
				return &cli.Exit{Code: code}
			}
			return nil
		},
	}
	logs.Flags(cmd.Flags())
	return cmd
}
