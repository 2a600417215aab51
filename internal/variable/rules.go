package variable

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"gantry.example/internal/wire"
)

// Limits, as TFE has them.
const (
	MaxKey         = 128       // characters
	MaxDescription = 512       // characters
	MaxValue       = 256 << 10 // bytes
)

// Error says which field of a variable is wrong, and how.
type Error struct {
	Field   string // key, value, category
	Problem string
}

func (e *Error) Error() string { return "field " + e.Field + ": " + e.Problem }

// Check reports what makes the variable unusable as an *Error, or nil. Of an expression it checks, as TFE does, the syntax;
// see CheckExpression.
func Check(v wire.Variable) error {
	switch {
	case v.Category != wire.CategoryTerraform && v.Category != wire.CategoryEnv:
		return &Error{"category", fmt.Sprintf("%q is neither %q nor %q", v.Category, wire.CategoryTerraform, wire.CategoryEnv)}
	case v.Key == "":
		return &Error{"key", "missing: name the variable"}
	case utf8.RuneCountInString(v.Key) > MaxKey:
		return &Error{"key", fmt.Sprintf("longer than %d characters", MaxKey)}
	case len(v.Value) > MaxValue:
		return &Error{"value", fmt.Sprintf("the value of %q is longer than %d bytes", v.Key, MaxValue)}
	case strings.ContainsRune(v.Value, 0):
		return &Error{"value", fmt.Sprintf("the value of %q has the character U+0000, which no variable can hold", v.Key)}
	case v.Category == wire.CategoryEnv:
		return checkEnvironment(v.Key, v.Value)
	case !regexp.MustCompile(`^[\p{L}\p{N}_-]+$`).MatchString(v.Key):
		return &Error{"key", fmt.Sprintf("%q is not the name of a variable: use letters, digits, _ and -", v.Key)}
	case v.HCL:
		return checkSyntax(v.Key, v.Value)
	}
	return nil
}

// ValidName reports whether a root module can declare a variable of that name. Check takes, as TFE does, more than that: a name
// that begins with a digit, which no run can use.
func ValidName(name string) bool {
	return regexp.MustCompile(`^[\p{L}_][\p{L}\p{N}_-]*$`).MatchString(name)
}
