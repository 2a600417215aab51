package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gantry.example/client"
)

// outputText is the value of an output as Terraform writes it.
func outputText(o client.Output) string {
	if o.Sensitive {
		return "<sensitive>"
	}
	d := json.NewDecoder(bytes.NewReader(o.Value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(o.Value)
	}
	return valueText(v, "")
}

// valueText writes a decoded JSON value as a Terraform expression, its further lines indented.
func valueText(v any, indent string) string {
	var lines []string
	inner := indent + "  "
	switch v := v.(type) {
	case string:
		return quoted(v)
	case []any:
		for _, e := range v {
			lines = append(lines, inner+valueText(e, inner)+",\n")
		}
		return enclosed("[", lines, indent, "]")
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			lines = append(lines, inner+quoted(key)+" = "+valueText(v[key], inner)+"\n")
		}
		return enclosed("{", lines, indent, "}")
	case nil:
		return "null"
	default:
		return fmt.Sprint(v) // numbers as they were written, true and false
	}
}

func enclosed(opening string, lines []string, indent, closing string) string {
	if len(lines) == 0 {
		return opening + closing
	}
	return opening + "\n" + strings.Join(lines, "") + indent + closing
}

// quoted is a string of HCL: as one of JSON, except that the marks of a template stand for themselves.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strings.TrimSuffix(b.String(), "\n"))
}
