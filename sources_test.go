package gantry_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readable returns the text files of the repository: all but what git, make and the go tool produce.
func readable(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "bin", "dist", "node_modules", ".terraform"}, d.Name()):
			return fs.SkipDir
		case d.Type().IsRegular() && d.Name() != ".git": // a file in a worktree
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestNoFilePointsOutsideTheRepository(t *testing.T) {
	t.Parallel()
	// Put together here, because this file is read too.
	folders := []string{"../" + "shared", "/work/" + "shared", "/work/" + "main"}
	for _, path := range readable(t) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, folder := range folders {
			if bytes.Contains(content, []byte(folder)) {
				t.Errorf("%s mentions %s, which is on nobody else's machine: say here what it says there", path, folder)
			}
		}
	}
}

func TestNoPackageIsADrawer(t *testing.T) {
	t.Parallel()
	drawers := []string{"util", "utils", "common", "helper", "helpers", "models", "pkg"}
	for _, path := range readable(t) {
		if folder := filepath.Base(filepath.Dir(path)); filepath.Ext(path) == ".go" && slices.Contains(drawers, folder) {
			t.Errorf("%s: a package named %s holds anything; name it for what it does", path, folder)
		}
	}
}

func TestSourceHabits(t *testing.T) {
	t.Parallel()
	for _, path := range readable(t) {
		if filepath.Ext(path) != ".go" {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range habits(file, strings.HasSuffix(path, "_test.go")) {
			t.Errorf("%s: %s", files.Position(p.at), p.says)
		}
	}
}

type problem struct {
	at   token.Pos
	says string
}

// habits reports what a source file does that none here may do.
func habits(file *ast.File, isTest bool) []problem {
	var out []problem
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				out = append(out, problem{n.Pos(), "func init runs where nobody sees it: make it a constructor that main calls"})
			}
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if ok && isTest && pkg.Name == "time" && n.Sel.Name == "Sleep" {
				out = append(out, problem{n.Pos(), "a test that sleeps is slow or flaky: wait for the thing itself, by a channel or a deadline"})
			}
		}
		return true
	})
	return out
}

func TestHabitsAreSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, source string
		isTest       bool
		want         int
	}{
		{"init", "package x\nfunc init() {}", false, 1},
		{"a method named init", "package x\ntype t int\nfunc (t) init() {}", false, 0},
		{"sleep in a test", "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }", true, 1},
		{"sleep in a program", "package x\nimport \"time\"\nfunc f() { time.Sleep(1) }", false, 0},
		{"a comment", "package x\n// time.Sleep(1) and func init()", true, 0},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", c.source, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := habits(file, c.isTest); len(got) != c.want {
			t.Errorf("%s: got %d problems, want %d", c.name, len(got), c.want)
		}
	}
}
