// Package replay does again, without Gantry, what a server was seen to ask of Postgres and NATS: the bench's measure of what the
// same operations cost by themselves. It knows no code of ours: the statements, their parameters and their order come from
// Postgres's own log of a server that carried out runs, and they are given to a copy of the database as it was then.
package replay

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Marks are statements that tell, in the log, where what is to be replayed begins and ends.
const (
	Begin = `SELECT 'replay begins'`
	End   = `SELECT 'replay ends'`
)

// Settings make Postgres write the log that Parse reads, for one database.
func Settings(database string) []string {
	return []string{
		`ALTER DATABASE ` + database + ` SET log_min_duration_statement = 0`,
		`ALTER DATABASE ` + database + ` SET log_error_verbosity = 'default'`, // with parameters
		`ALTER DATABASE ` + database + ` SET log_parameter_max_length = -1`,
	}
}

// Statement is one that a connection sent.
type Statement struct {
	Text     string
	Params   []*string // nil for NULL
	Prepared bool      // else it was sent as it is
}

// Transaction is what a connection did at once.
type Transaction struct {
	Statements []Statement
	After      []int // the transactions whose rows it relies on
}

// Recording is what all connections did, in the order in which it ended.
type Recording struct {
	Transactions []Transaction
	Connections  int
	Statements   int // of all, without those that begin and end a transaction
}

var entry = regexp.MustCompile(`^\S+ \S+ \S+ \[(\d+)\] ([A-Z]+):  (.*)$`)

var timed = regexp.MustCompile(`(?s)^duration: [0-9.]+ ms  (statement|execute [^:]*): (.*)$`)

// Parse reads a log of Postgres. Transactions that were rolled back are left out, and those that read by a snapshot of the
// recording, which means something else in a copy.
func Parse(log io.Reader) (Recording, error) {
	p := parser{before: map[string]bool{}, sessions: map[string]*session{}, connections: map[*session]bool{}}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 64<<20)
	var pid, kind, text string
	for lines.Scan() {
		line := lines.Text()
		m := entry.FindStringSubmatch(line)
		if m == nil {
			text += "\n" + strings.TrimPrefix(line, "\t")
			continue
		}
		p.entry(pid, kind, text)
		pid, kind, text = m[1], m[2], m[3]
	}
	p.entry(pid, kind, text)
	if err := lines.Err(); err != nil {
		return Recording{}, err
	}
	if !p.ended {
		return Recording{}, fmt.Errorf("the log of Postgres has no whole recording")
	}
	return Recording{Transactions: p.order(), Connections: len(p.connections), Statements: p.statements}, nil
}

type parser struct {
	begun, ended bool
	before       map[string]bool     // what was named before the recording began
	sessions     map[string]*session // by process
	connections  map[*session]bool   // that did something
	done         []*Transaction
	statements   int
}

type session struct {
	open *Transaction // between BEGIN and COMMIT
	last *Statement   // whose parameters may follow
}

// entry takes one entry of the log. Postgres writes a statement when it is over, and its parameters in an entry of their own
// after it.
func (p *parser) entry(pid, kind, text string) {
	s := p.sessions[pid]
	if s == nil {
		s = &session{}
		p.sessions[pid] = s
	}
	if kind == "DETAIL" {
		given, ok := strings.CutPrefix(text, "parameters: ")
		switch {
		case ok && !p.begun:
			for name := range namesIn(parameters(given)) {
				p.before[name] = true
			}
		case ok && s.last != nil:
			s.last.Params = parameters(given)
		}
		return
	}
	s.last = nil
	m := timed.FindStringSubmatch(text)
	if m == nil || kind != "LOG" {
		return
	}
	switch m[2] {
	case Begin:
		p.begun = true
	case End:
		p.ended = true
	default:
		if p.begun && !p.ended {
			p.statement(s, Statement{Text: m[2], Prepared: m[1] != "statement"})
		}
	}
}

func (p *parser) statement(s *session, st Statement) {
	switch word, _, _ := strings.Cut(st.Text, " "); {
	case word == "BEGIN":
		s.open = &Transaction{Statements: []Statement{st}}
	case word == "ROLLBACK":
		s.open = nil
	case s.open == nil && word != "COMMIT":
		p.end(s, &Transaction{Statements: []Statement{st}})
	case s.open != nil:
		s.open.Statements = append(s.open.Statements, st)
		s.last = &s.open.Statements[len(s.open.Statements)-1]
		if word == "COMMIT" {
			p.end(s, s.open)
			s.open = nil
		}
	}
}

func (p *parser) end(s *session, t *Transaction) {
	for _, st := range t.Statements {
		if strings.Contains(st.Text, "pg_snapshot") {
			return
		}
	}
	p.statements += max(1, len(t.Statements)-2)
	p.connections[s] = true
	p.done = append(p.done, t)
	s.last = &t.Statements[len(t.Statements)-1]
}

// parameters reads what Postgres writes of them: $1 = 'it”s', $2 = NULL.
func parameters(text string) []*string {
	var out []*string
	for text != "" {
		_, rest, ok := strings.Cut(text, " = ")
		if !ok {
			return out
		}
		if after, null := strings.CutPrefix(rest, "NULL"); null {
			out, text = append(out, nil), after
			continue
		}
		var v strings.Builder
		for rest = rest[1:]; ; {
			i := strings.IndexByte(rest, '\'')
			if i < 0 { // cut off
				return out
			}
			v.WriteString(rest[:i])
			rest = rest[i+1:]
			if !strings.HasPrefix(rest, "'") {
				break
			}
			v.WriteByte('\'')
			rest = rest[1:]
		}
		value := v.String()
		out, text = append(out, &value), rest
	}
	return out
}

// names finds, in a parameter, what names a row: an id or a hash. An array has several.
var names = regexp.MustCompile(`[\w\\-]{16,}`)

// order notes, for each transaction, which others it comes after: what changes something, after the last change of each new row
// that it names; what only reads, after that row was made. New is what was not named before the recording began.
func (p *parser) order() []Transaction {
	type changes struct{ first, last int } // transactions
	rows := map[string]changes{}
	out := make([]Transaction, len(p.done))
	for place, t := range p.done {
		writes := t.writes()
		for name := range t.names() {
			row, made := rows[name]
			switch {
			case p.before[name], !made && !writes:
				continue
			case !made:
				row.first = place
			case writes:
				t.After = append(t.After, row.last)
			default:
				t.After = append(t.After, row.first)
			}
			if writes {
				row.last = place
			}
			rows[name] = row
		}
		slices.Sort(t.After)
		t.After = slices.Compact(t.After)
		out[place] = *t
	}
	return out
}

func (t *Transaction) writes() bool {
	return slices.ContainsFunc(t.Statements, func(s Statement) bool {
		return strings.Contains(s.Text, "INSERT") || strings.Contains(s.Text, "UPDATE") || strings.Contains(s.Text, "DELETE")
	})
}

func (t *Transaction) names() map[string]bool {
	out := map[string]bool{}
	for _, s := range t.Statements {
		maps.Copy(out, namesIn(s.Params))
	}
	return out
}

func namesIn(params []*string) map[string]bool {
	out := map[string]bool{}
	for _, p := range params {
		if p == nil || strings.ContainsAny(*p, `" `) { // a document, a time
			continue
		}
		for _, name := range names.FindAllString(*p, -1) {
			out[name] = true
		}
	}
	return out
}
