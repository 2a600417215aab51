package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// outputs gives the command the flag -o.
func (a *app) outputs(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.format, "output", "o", "text", "text or json")
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

// show prints v as JSON, or what text writes: cells end with a tab and lines with a newline.
func (a *app) show(v any, text func(w io.Writer)) error {
	if a.asJSON() {
		e := json.NewEncoder(a.env.Stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	w := tabwriter.NewWriter(a.env.Stdout, 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// row writes one line of a table.
func row(w io.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		if text[i] = oneLine(fmt.Sprint(cell)); text[i] == "" {
			text[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(text, "\t"))
}

// oneLine keeps what others wrote from breaking a table or steering the terminal.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return ' '
		}
		return r
	}, s))
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
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
