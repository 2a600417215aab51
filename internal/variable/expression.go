package variable

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"gantry.example/internal/wire"
)

// Quote writes a text as an HCL string, in one line and without templates in it.
func Quote(text string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(text)).Bytes())
}

// Expression is the variable's value as terraform reads it from a file of variables.
func Expression(v wire.Variable) string {
	switch {
	case !v.HCL:
		return Quote(v.Value)
	case strings.Contains(v.Value, "\n"): // where an expression ends at the end of a line, unless it is in parentheses
		return "(\n" + v.Value + "\n)"
	default:
		return v.Value
	}
}

// CheckExpression refuses, as an *Error, a value that terraform would refuse in a file of variables: one that is no
// expression, more than one, or one that refers to something.
func CheckExpression(key, text string) error {
	if _, problem := evaluate(text); problem != "" {
		return &Error{"value", fmt.Sprintf("the value of %q is not an HCL expression without references: %s", key, problem)}
	}
	return nil
}

// checkSyntax refuses what is no expression, or more than one: it would reach beyond its place in a file of variables.
func checkSyntax(key, text string) error {
	if _, diags := parse(text); diags.HasErrors() {
		return &Error{"value", fmt.Sprintf("the value of %q is not an HCL expression: %s", key, summary(diags))}
	}
	return nil
}

func parse(text string) (hclsyntax.Expression, hcl.Diagnostics) {
	return hclsyntax.ParseExpression([]byte(text+"\n"), "", hcl.InitialPos) // with the end of line that a heredoc needs
}

func evaluate(text string) (cty.Value, string) {
	e, diags := parse(text)
	if diags.HasErrors() {
		return cty.NilVal, summary(diags)
	}
	v, diags := e.Value(nil)
	if diags.HasErrors() {
		return cty.NilVal, summary(diags)
	}
	return v, ""
}

// summary is the first error without what the parser says about the text around it.
func summary(diags hcl.Diagnostics) string {
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Subject != nil {
			return fmt.Sprintf("%s (line %d, column %d)", d.Summary, d.Subject.Start.Line, d.Subject.Start.Column)
		} else if d.Severity == hcl.DiagError {
			return d.Summary
		}
	}
	return ""
}

// ParseFile reads a file of variables, in the language that its name tells (.tfvars or .json), in the order of its lines.
func ParseFile(name string, text []byte) ([]wire.RunVariable, error) {
	parser := hclparse.NewParser()
	read := parser.ParseHCL
	if strings.HasSuffix(name, ".json") {
		read = parser.ParseJSON
	}
	file, diags := read(text, name)
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s: %s", name, summary(diags))
	}
	attributes, diags := file.Body.JustAttributes()
	if diags.HasErrors() {
		return nil, fmt.Errorf("%s: %s", name, summary(diags))
	}
	var out []wire.RunVariable
	for _, a := range inOrder(attributes) {
		if !ValidName(a.Name) {
			return nil, fmt.Errorf("%s: line %d: %q is not the name of a variable", name, a.Range.Start.Line, a.Name)
		}
		v, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			return nil, fmt.Errorf("%s: variable %q: %s", name, a.Name, summary(diags))
		}
		out = append(out, wire.RunVariable{Key: a.Name, Value: string(hclwrite.TokensForValue(v).Bytes())})
	}
	return out, nil
}
