// Command gantry-agent carries out the tasks of a pool of agents, on any machine that can reach the server over HTTPS. It is one
// file: its runners, and the shim that starts terraform, are this program too.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"gantry.example/internal/telemetry"
	"gantry.example/workers/agent"
	"gantry.example/workers/runner"
	"gantry.example/workers/terraform/shim"
)

var version = "dev" // set by the linker: see Makefile

func main() {
	if filepath.Base(os.Args[0]) == shim.Name {
		os.Exit(shim.Main(os.Args, os.Environ()))
	}
	root := agentCommand()
	root.AddCommand(runnerCommand())
	if err := root.Execute(); err != nil {
		var exit exitCode
		if errors.As(err, &exit) {
			os.Exit(int(exit))
		}
		fmt.Fprintln(os.Stderr, "gantry-agent:", err)
		os.Exit(1)
	}
}

// exitCode is the code of a runner, which has said all there is to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func agentCommand() *cobra.Command {
	var s agent.Settings
	cmd := &cobra.Command{
		Use:   "gantry-agent --address https://gantry.example.com --token-file FILE",
		Short: "Carry out the tasks of a pool of agents",
		Long: `Carry out the tasks of a pool of agents. It needs to reach the server over HTTPS, and nothing has to reach it.

Every flag can also be given as GANTRY_AGENT_<FLAG> (GANTRY_AGENT_DATA_DIR); the token as GANTRY_AGENT_TOKEN. Of TFE's agent
TFC_ADDRESS, TFC_AGENT_TOKEN and TFC_AGENT_NAME are understood.

The first SIGTERM or Ctrl-C drains: what runs is finished, nothing new is taken. The second asks what runs to stop, which saves its
state. The third ends the agent at once: what runs goes on, and the next start in the same folder takes it up.`,
		Args: cobra.NoArgs, Version: version, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.Load(cmd.Flags(), os.Getenv); err != nil {
				return err
			}
			return run(cmd, s)
		},
	}
	s.Flags(cmd.Flags())
	return cmd
}

func run(cmd *cobra.Command, s agent.Settings) error {
	command, err := agent.RunnerCommand(s.Log.Args())
	if err != nil {
		return err
	}
	a, err := agent.New(agent.Config{
		Settings: s, Version: version, Runner: command, Log: s.Log.New(os.Stderr), Out: cmd.OutOrStdout(), Output: os.Stderr,
	})
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() { // ends with the program
		<-signals
		a.Drain()
		<-signals
		signal.Reset(syscall.SIGINT, syscall.SIGTERM) // from here on the next one ends the program
		a.Stop()
	}()
	return errors.Join(a.Run(context.Background()), a.Close())
}

func runnerCommand() *cobra.Command {
	var logs telemetry.LogConfig
	cmd := &cobra.Command{
		Use: "runner", Short: "Carry out one attempt, given on standard input", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logs.Validate(); err != nil {
				return err
			}
			log := logs.New(cmd.ErrOrStderr())
			if code := runner.Main(cmd.InOrStdin(), runner.Config{Log: log, Connect: runner.ConnectNATS(log)}); code != 0 {
				return exitCode(code)
			}
			return nil
		},
	}
	logs.Flags(cmd.Flags())
	return cmd
}
