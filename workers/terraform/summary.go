package terraform

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gantry.example/internal/wire"
)

// Summary is what a person would read off the end of a log.
type Summary struct {
	Changes *wire.Changes // nil when the log has no such line
	Error   string        // the first error, on one line; empty if there is none
}

// ReadSummary reads Terraform's own counts and its first error out of a log, which saves a process that would tell them.
// The last summary line counts, because a provisioner may print one too.
func ReadSummary(log io.Reader) (Summary, error) {
	var (
		s      Summary
		ansi   = regexp.MustCompile("\x1b\\[[0-9;]*m")
		plan   = regexp.MustCompile(`^Plan: (?:(\d+) to import, )?(\d+) to add, (\d+) to change, (\d+) to destroy\.`)
		apply  = regexp.MustCompile(`^(?:Apply|Destroy) complete! Resources: (.*)\.`)
		none   = regexp.MustCompile(`^No changes\. `)
		number = func(t string) int { n, _ := strconv.Atoi(t); return n }
	)
	var problem firstError
	r := bufio.NewReaderSize(log, 64<<10)
	for {
		raw, err := r.ReadSlice('\n')
		line := strings.TrimRight(string(ansi.ReplaceAll(bytes.Clone(raw), nil)), "\r\n")
		if m := plan.FindStringSubmatch(line); m != nil {
			s.Changes = &wire.Changes{Import: number(m[1]), Add: number(m[2]), Change: number(m[3]), Destroy: number(m[4])}
		} else if m := apply.FindStringSubmatch(line); m != nil {
			s.Changes = applied(m[1])
		} else if none.MatchString(line) {
			s.Changes = &wire.Changes{}
		} else {
			problem.read(line)
		}
		if err == io.EOF {
			s.Error = problem.text()
			return s, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) { // the rest of an overlong line is a line of its own
			return s, err
		}
	}
}

// applied reads "1 imported, 2 added, 3 changed, 4 destroyed"; the words depend on what was done.
func applied(list string) *wire.Changes {
	var c wire.Changes
	for part := range strings.SplitSeq(list, ", ") {
		count, word, _ := strings.Cut(part, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			continue
		}
		switch word {
		case "imported":
			c.Import = n
		case "added":
			c.Add = n
		case "changed":
			c.Change = n
		case "destroyed":
			c.Destroy = n
		}
	}
	return &c
}

// firstError collects the first error of a log line by line: its title, and what is said about it if that needs no look at
// the source, as for a provider that cannot be found.
type firstError struct {
	title  string
	detail []string
	ended  bool
}

// detailLimit is how much of an error's explanation people read outside the log, in characters.
const detailLimit = 400

func (e *firstError) read(line string) {
	title := errorTitle(line)
	switch {
	case e.ended:
	case e.title == "":
		e.title = title
	case title != "":
		e.ended = true
	default:
		text := line
		if boxed, ok := strings.CutPrefix(line, "│"); ok {
			text = strings.TrimPrefix(boxed, " ")
		}
		blank := strings.Trim(text, "╵ ") == ""
		source := len(e.detail) == 0 && strings.HasPrefix(text, "  ") // "  on main.tf line 1:"
		if source || blank && len(e.detail) > 0 {
			e.ended = true
		} else if !blank {
			e.detail = append(e.detail, strings.TrimSpace(text))
		}
	}
}

func (e *firstError) text() string {
	if len(e.detail) == 0 {
		return e.title
	}
	detail := []rune(strings.TrimSuffix(strings.Join(e.detail, " "), "."))
	if len(detail) > detailLimit {
		detail = append(detail[:detailLimit], '…')
	}
	return e.title + ": " + string(detail)
}

// errorTitle returns the title of a line like "│ Error: Invalid reference". What init says above every error in a
// configuration tells nothing, so it is left out.
func errorTitle(line string) string {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, "│╷ "), "Error: ")
	if !ok || strings.Contains(rest, " encountered problems during initiali") {
		return ""
	}
	return rest
}
