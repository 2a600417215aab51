package postgres

import (
	"fmt"
	"strings"
)

// conditions are what a list selects by, all of which must hold. Only those that select something are written: one that is true
// of every row still has to be tried on each, and hides from Postgres which index would do.
type conditions struct {
	all  []string
	args []any
}

// add adds a condition, in which each $$ stands for the next of its arguments.
func (c *conditions) add(condition string, args ...any) {
	for _, a := range args {
		condition = strings.Replace(condition, "$$", c.arg(a), 1)
	}
	c.all = append(c.all, condition)
}

// arg adds an argument and returns its name.
func (c *conditions) arg(a any) string {
	c.args = append(c.args, a)
	return fmt.Sprintf("$%d", len(c.args))
}

// where is the clause.
func (c *conditions) where() string { return " WHERE " + strings.Join(c.all, " AND ") }
