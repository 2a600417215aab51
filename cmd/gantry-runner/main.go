// Command gantry-runner carries out one attempt, given on standard input or, in a Pod, in a file: see package runner. It is a program
// of its own because there is a process of it for every run, and gantry, which can do the same beside a server, brings a server along
// that takes time to load.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"gantry.example/internal/telemetry"
	"gantry.example/workers/runner"
)

type config struct {
	Assignment  string
	Termination string
	Install     string
	Log         telemetry.LogConfig
}

func main() {
	cfg, err := parse(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gantry-runner:", err)
		os.Exit(runner.ExitContract)
	}
	os.Exit(run(cfg))
}

func run(cfg config) int {
	log := cfg.Log.New(os.Stderr)
	attempt := runner.Config{Log: log, Connect: runner.ConnectNATS(log)}
	switch {
	case cfg.Install != "":
		if err := runner.Install(cfg.Install); err != nil {
			log.Error("programs not installed", "folder", cfg.Install, "error", err)
			return 1
		}
		return 0
	case cfg.Assignment != "":
		return runner.PodMain(cfg.Assignment, cfg.Termination, attempt)
	default:
		return runner.Main(os.Stdin, attempt)
	}
}

func parse(args []string) (config, error) {
	var cfg config
	flags := pflag.NewFlagSet("gantry-runner", pflag.ContinueOnError)
	flags.StringVar(&cfg.Assignment, "assignment", "", "file with the assignment, of a runner in a Pod (default: standard input)")
	flags.StringVar(&cfg.Termination, "termination", "/dev/termination-log", "file for the termination message, of a runner in a Pod")
	flags.StringVar(&cfg.Install, "install", "", "copy this program and gantry-exec, which is beside it, into a folder and end")
	cfg.Log.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("argument %q: there are only flags; what to do comes on standard input, from a worker", flags.Arg(0))
	}
	return cfg, cfg.Log.Validate()
}
