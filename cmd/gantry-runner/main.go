// Command gantry-runner carries out one attempt, given on standard input: see package runner. It is a program of its own because
// there is a process of it for every run, and gantry, which can do the same, brings a server along that takes time to load.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"gantry.example/internal/telemetry"
	"gantry.example/workers/runner"
)

func main() {
	logs, err := parse(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gantry-runner:", err)
		os.Exit(runner.ExitContract)
	}
	log := logs.New(os.Stderr)
	os.Exit(runner.Main(os.Stdin, runner.Config{Log: log, Connect: runner.ConnectNATS(log)}))
}

func parse(args []string) (telemetry.LogConfig, error) {
	var logs telemetry.LogConfig
	flags := pflag.NewFlagSet("gantry-runner", pflag.ContinueOnError)
	logs.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return logs, err
	}
	if flags.NArg() > 0 {
		return logs, fmt.Errorf("argument %q: there are only flags; what to do comes on standard input, from a worker", flags.Arg(0))
	}
	return logs, logs.Validate()
}
