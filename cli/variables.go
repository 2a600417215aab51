package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
)

// variables are those of --var, in order.
type variables []struct{ name, value string }

// parseVariables splits NAME=VALUE. Its errors do not repeat a value: it may be secret.
func parseVariables(given []string) (variables, error) {
	out := variables{}
	for _, text := range given {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--var number %d has no value: write NAME=VALUE", len(out)+1)
		}
		if !variable.ValidName(key) {
			return nil, fmt.Errorf("--var: %q is not the name of a variable: write NAME=VALUE", key)
		}
		out = append(out, struct{ name, value string }{key, value})
	}
	return out, nil
}

// expressions turns the variables into expressions by Terraform's rule: the text of a variable that is declared as string,
// number or bool, or without a type, is a string (from which Terraform makes the number); that of every other one is an
// expression already. They are added to those of files, over which they win; the last of a name counts. What terraform could
// not read is refused here, before anything is sent.
func (v variables) expressions(dir, root string, out []wire.RunVariable) ([]wire.RunVariable, error) {
	if len(v) == 0 {
		return out, nil
	}
	declared := declaredTypes(filepath.Join(dir, filepath.FromSlash(root)))
	for _, one := range v {
		expression := variable.Quote(one.value)
		switch kind, known := declared[one.name]; {
		case slices.Contains([]string{"", "string", "number", "bool"}, kind) && known:
		case known, strings.HasPrefix(one.value, "["), strings.HasPrefix(one.value, "{"):
			expression = one.value
		}
		if err := variable.CheckExpression(one.name, expression); err != nil {
			return nil, fmt.Errorf("--var %s: %w", one.name, err)
		}
		out = with(out, wire.RunVariable{Key: one.name, Value: expression})
	}
	return out, nil
}

// declaredTypes finds the variables of a root module and the first word of their types, empty where there is none. It reads
// only that much of the language; what it misses is taken for undeclared, and Terraform has the last word.
func declaredTypes(root string) map[string]string {
	out := map[string]string{}
	block := regexp.MustCompile(`(?m)^[ \t]*variable[ \t]+"?([\p{L}_][\p{L}\p{N}_-]*)"?[ \t]*\{`)
	kind := regexp.MustCompile(`(?:^|[\n{])[ \t]*type[ \t]*=[ \t]*"?([a-z]+)`)
	for _, pattern := range []string{"*.tf", "*.tofu", "*.tf.json", "*.tofu.json"} {
		files, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is a good one
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // packing the folder reports it
			}
			if strings.HasSuffix(file, ".json") {
				declaredJSON(text, out)
				continue
			}
			for _, at := range block.FindAllSubmatchIndex(text, -1) {
				found := kind.FindStringSubmatch(body(string(text[at[1]:])))
				if found == nil {
					found = []string{"", ""}
				}
				out[string(text[at[2]:at[3]])] = found[1]
			}
		}
	}
	return out
}

func declaredJSON(text []byte, out map[string]string) {
	var file struct {
		Variable map[string]struct {
			Type string `json:"type"`
		} `json:"variable"`
	}
	if json.Unmarshal(text, &file) != nil {
		return
	}
	for name, v := range file.Variable {
		out[name], _, _ = strings.Cut(v.Type, "(")
	}
}

// body is the text of a block up to its closing brace, without comments and what is in inner braces.
func body(text string) string {
	quoted := regexp.MustCompile(`^"(?:[^"\\]|\\.)*"?`)
	var out strings.Builder
	depth := 0
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case rest[0] == '#', strings.HasPrefix(rest, "//"):
			i += max(0, len(before(rest, "\n"))-1)
		case strings.HasPrefix(rest, "/*"):
			i += len(before(rest, "*/")) + 1
		case rest[0] == '"':
			s := quoted.FindString(rest)
			if depth == 0 {
				out.WriteString(s)
			}
			i += len(s) - 1
		case rest[0] == '}' && depth == 0:
			return out.String()
		case rest[0] == '{':
			depth++
		case rest[0] == '}':
			depth--
		case depth == 0:
			out.WriteByte(rest[0])
		}
	}
	return out.String()
}

func before(text, mark string) string {
	head, _, _ := strings.Cut(text, mark)
	return head
}

// readVarFiles reads the files in order; the last of a name counts.
func readVarFiles(paths []string) ([]wire.RunVariable, error) {
	var out []wire.RunVariable
	for _, path := range paths {
		if !strings.HasSuffix(path, ".tfvars") && !strings.HasSuffix(path, ".json") {
			return nil, fmt.Errorf("--var-file %s: the name must end with .tfvars or .tfvars.json, which says how to read it", path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--var-file: %w", err)
		}
		read, err := variable.ParseFile(path, text)
		if err != nil {
			return nil, fmt.Errorf("--var-file %w", err)
		}
		for _, v := range read {
			out = with(out, v)
		}
	}
	return out, nil
}

// with adds a variable in the place of an earlier one of its name.
func with(vars []wire.RunVariable, v wire.RunVariable) []wire.RunVariable {
	same := func(other wire.RunVariable) bool { return other.Key == v.Key }
	return append(slices.DeleteFunc(vars, same), v)
}
