package cli

import (
	"os"

	"golang.org/x/term"
)

// System is the Env of this process.
func System(version string, signals <-chan os.Signal) Env {
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Getenv:         os.Getenv, Signals: signals, Version: version,
	}
}
