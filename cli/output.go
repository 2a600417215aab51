package cli

import (
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// outputs gives the command the flag -o.
func (a *app) outputs(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.format, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if a.format != "text" && a.format != "json" {
			return usage(cmd, "-o %q is neither text nor json", a.format)
		}
		return check(cmd, args)
	}
	return cmd
}

func (a *app) asJSON() bool { return a.format == "json" }

// colors reports whether the user has nothing against them.
func (a *app) colors() bool { return a.env.Getenv("NO_COLOR") == "" && a.env.Getenv("TERM") != "dumb" }

// show prints v as JSON, or what text says.
func (a *app) show(v any, text func(t *table)) error {
	if a.asJSON() {
		e := json.NewEncoder(a.env.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := &table{terminal: a.env.StdoutTerminal, colors: a.env.StdoutTerminal && a.colors(), now: time.Now()}
	text(t)
	return t.writeTo(a.env.Stdout)
}

// plainText drops terminal control sequences (ESC [ … letter) from what is written through it.
type plainText struct {
	to    io.Writer
	state byte // 0: text, 1: after ESC, 2: inside a sequence
}

func (p *plainText) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		switch {
		case p.state == 0 && c == 0x1b:
			p.state = 1
		case p.state == 0:
			out = append(out, c)
		case p.state == 1 && c == '[':
			p.state = 2
		case p.state == 1 || c >= 0x40 && c <= 0x7e: // the end of the sequence
			p.state = 0
		}
	}
	_, err := p.to.Write(out)
	return len(b), err
}
