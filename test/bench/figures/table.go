package figures

import (
	"strings"
	"unicode/utf8"
)

// Table is text in rows and columns.
type Table struct {
	Title  string
	Note   string // below the title; may be empty
	Header []string
	Rows   [][]string
}

// Text lays the table out for a terminal.
func (t Table) Text() string {
	widths := make([]int, len(t.Header))
	all := append([][]string{t.Header}, t.Rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	b.WriteString(t.Title + "\n")
	for _, row := range all {
		line := ""
		for i, cell := range row {
			line += "  " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Markdown writes the table as a section of a document.
func (t Table) Markdown() string {
	var b strings.Builder
	b.WriteString("## " + t.Title + "\n\n")
	if t.Note != "" {
		b.WriteString(t.Note + "\n\n")
	}
	b.WriteString("| " + strings.Join(t.Header, " | ") + " |\n")
	b.WriteString(strings.Repeat("|---", len(t.Header)) + "|\n")
	for _, row := range t.Rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}
