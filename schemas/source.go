package schemas

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// source is what reflection cannot see of a package: comments and constants.
type source struct {
	docs      map[string]string     // by "Type" and "Type.Field"
	constants map[string][]constant // string constants by type, in the order of the source
}

type constant struct {
	value, doc string
}

func readSource(folder string) (*source, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no Go files in %s: run the generator at the root of the repository", folder)
	}
	src := &source{docs: map[string]string{}, constants: map[string][]constant{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				src.read(d)
			}
		}
	}
	return src, nil
}

func (src *source) read(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			src.docs[s.Name.Name] = text(s.Doc, d.Doc)
			if st, ok := s.Type.(*ast.StructType); ok {
				src.readFields(s.Name.Name, st)
			}
		case *ast.ValueSpec:
			typ, ok := s.Type.(*ast.Ident)
			if !ok || len(s.Values) != 1 {
				continue
			}
			if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value, _ := strconv.Unquote(lit.Value) // parsed above, so it is well quoted
				doc := strings.TrimPrefix(text(s.Doc, s.Comment), s.Names[0].Name+": ")
				src.constants[typ.Name] = append(src.constants[typ.Name], constant{value, doc})
			}
		}
	}
}

func (src *source) readFields(typ string, st *ast.StructType) {
	for _, f := range st.Fields.List {
		for _, name := range f.Names {
			src.docs[typ+"."+name.Name] = text(f.Doc, f.Comment)
		}
	}
}

// text is the first comment there is, on one line.
func text(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if g != nil {
			return strings.Join(strings.Fields(g.Text()), " ")
		}
	}
	return ""
}
