package messages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"gantry.example/messages"
)

// declaredCodes reads the Code constants from the source, in its order.
func declaredCodes(t *testing.T) []messages.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []messages.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" {
			t.Errorf("constant %s has no type Code: every constant of codes.go is a code", spec.Names[0])
			return false
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, messages.Code(value))
		return false
	})
	return out
}

func TestCodesListsEveryConstantOnce(t *testing.T) {
	t.Parallel()
	want := declaredCodes(t)
	if len(want) < 30 {
		t.Fatalf("got %d constants from codes.go, want at least the 30 of the first release", len(want))
	}
	if got := messages.Codes(); !reflect.DeepEqual(got, want) {
		t.Errorf("Codes()\n got %q\nwant %q (the constants in the order of the source)", got, want)
	}
	seen := map[messages.Code]bool{}
	for _, c := range want {
		if seen[c] {
			t.Errorf("code %q is given to two constants", c)
		}
		seen[c] = true
		if !regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)?$`).MatchString(string(c)) {
			t.Errorf("code %q is not of the form area.problem or problem", c)
		}
	}
}
