package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"gantry.example/client"
)

// table collects what a command says to people: rows whose columns are aligned, and plain lines between them.
type table struct {
	terminal bool // times are told as people do
	colors   bool
	now      time.Time
	rows     [][]cell // of the block that is being collected
	out      strings.Builder
}

// cell is a text and the color it is shown in, an SGR parameter.
type cell struct{ text, color string }

const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// head adds the names of the columns.
func (t *table) head(names ...string) {
	cells := make([]cell, len(names))
	for i, n := range names {
		cells[i] = cell{n, bold}
	}
	t.rows = append(t.rows, cells)
}

// row adds a row. A time.Time is shown as the reader wants it, a client.Status in its color, what is empty as "-".
func (t *table) row(values ...any) {
	cells := make([]cell, len(values))
	for i, v := range values {
		cells[i] = t.cell(v)
	}
	t.rows = append(t.rows, cells)
}

func (t *table) cell(v any) cell {
	c := cell{}
	switch v := v.(type) {
	case time.Time:
		c.text = t.when(v)
	case client.Status:
		c = cell{string(v), statusColor(v)}
	default:
		c.text = oneLine(fmt.Sprint(v))
	}
	if c.text == "" {
		c.text = "-"
	}
	return c
}

// line adds a line outside of columns.
func (t *table) line(format string, args ...any) {
	t.flush()
	fmt.Fprintf(&t.out, format+"\n", args...)
}

// flush aligns the rows collected so far.
func (t *table) flush() {
	var widths []int
	for _, cells := range t.rows {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, cells := range t.rows {
		for i, c := range cells {
			text := c.text
			if t.colors && c.color != "" {
				text = "\x1b[" + c.color + "m" + text + "\x1b[0m"
			}
			t.out.WriteString(text)
			if i < len(cells)-1 {
				t.out.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		t.out.WriteByte('\n')
	}
	t.rows = nil
}

func (t *table) writeTo(w io.Writer) error {
	t.flush()
	_, err := io.WriteString(w, t.out.String())
	return err
}

func statusColor(s client.Status) string {
	switch s {
	case client.Applied, client.Finished:
		return green
	case client.Errored, client.ForceCancel:
		return red
	case client.Planned, client.Saved, client.Canceled:
		return yellow
	case client.Discarded, client.Pending:
		return ""
	default:
		return cyan
	}
}

// when is a time as the reader wants it: how long ago on a terminal, exact elsewhere.
func (t *table) when(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	if !t.terminal {
		return at.Local().Format("2006-01-02 15:04:05")
	}
	if ago := t.now.Sub(at); ago >= 0 {
		return span(ago) + " ago"
	}
	return "in " + span(at.Sub(t.now))
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	for _, unit := range []struct {
		name string
		is   time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		switch n := int(d / unit.is); {
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return fmt.Sprintf("%d s", int(d/time.Second))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// sizeText is a size in bytes as people read it.
func sizeText(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%d B", n)
	}
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
