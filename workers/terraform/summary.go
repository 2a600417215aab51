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
	Error   string        // first line of the first error, or empty
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
		} else if s.Error == "" {
			s.Error = errorLine(line)
		}
		if err == io.EOF {
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

// errorLine returns the message of a line like "│ Error: Invalid reference". What init says above every error in a
// configuration tells nothing, so it is left out.
func errorLine(line string) string {
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, "│╷ "), "Error: ")
	if !ok || strings.HasPrefix(rest, "Terraform encountered problems during initiali") {
		return ""
	}
	return rest
}
