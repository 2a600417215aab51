package variable

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"gantry.example/internal/wire"
)

// MinSecret is the length in bytes of the shortest text that is masked. Shorter ones occur in every log, where a mask would
// tell more than it hides.
const MinSecret = 4

// Masked reports whether the value is hidden wherever it is printed as it is.
func Masked(value string) bool { return len(lines(value)) > 0 }

// Secrets are the texts that no log of a run with these variables may show: every line of a sensitive value, and of the
// texts in it where it is a structure that terraform takes apart, as they are and as terraform quotes them. Longest first,
// each once. A text that is shorter than MinSecret, or a word like "true", is not among them.
func Secrets(variables []wire.Variable) []string {
	var out []string
	for _, v := range variables {
		if !v.Sensitive {
			continue
		}
		for _, text := range append(leaves(v), v.Value) {
			for _, line := range lines(text) {
				out = append(out, line, inner(Quote(line)), inner(quoteJSON(line)))
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(out)
}

// lines are those of the text that are worth hiding, without the blanks around them: terraform indents them.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if len(line) >= MinSecret && !slices.Contains([]string{"true", "false", "null"}, line) {
			out = append(out, line)
		}
	}
	return out
}

// leaves are the texts in a structure. Terraform shows them one by one, also those of a JSON text. Providers, who read the
// environment, do not; of what is there only texts of several lines count, such as the private key in the JSON key file of
// a service account, whose other texts are the names of things in every plan.
func leaves(v wire.Variable) []string {
	var out []string
	if v.HCL && v.Category == wire.CategoryTerraform {
		if value, problem := evaluate(v.Value); problem == "" {
			_ = cty.Walk(value, func(_ cty.Path, leaf cty.Value) (bool, error) { // our function returns no error
				if leaf.IsKnown() && !leaf.IsNull() && (leaf.Type() == cty.String || leaf.Type() == cty.Number) {
					out = append(out, text(leaf))
				}
				return true, nil
			})
		}
		return out
	}
	if !strings.HasPrefix(v.Value, "{") && !strings.HasPrefix(v.Value, "[") {
		return nil
	}
	var parsed any
	decoder := json.NewDecoder(strings.NewReader(v.Value))
	decoder.UseNumber()
	if decoder.Decode(&parsed) != nil {
		return nil
	}
	for _, leaf := range jsonLeaves(parsed) {
		if v.Category == wire.CategoryTerraform || strings.Contains(strings.TrimSpace(leaf), "\n") {
			out = append(out, leaf)
		}
	}
	return out
}

func text(leaf cty.Value) string {
	if leaf.Type() == cty.String {
		return leaf.AsString()
	}
	return leaf.AsBigFloat().Text('f', -1)
}

func jsonLeaves(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		return []string{v}
	case json.Number:
		return []string{v.String()}
	case []any:
		for _, e := range v {
			out = append(out, jsonLeaves(e)...)
		}
	case map[string]any:
		for _, e := range v {
			out = append(out, jsonLeaves(e)...)
		}
	}
	return out
}

func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

// inner is a quoted text without its quotes.
func inner(quoted string) string { return quoted[1 : len(quoted)-1] }

// inOrder are the attributes in the order of the file.
func inOrder(attributes hcl.Attributes) []*hcl.Attribute {
	out := make([]*hcl.Attribute, 0, len(attributes))
	for _, a := range attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hcl.Attribute) int { return a.Range.Start.Byte - b.Range.Start.Byte })
	return out
}
