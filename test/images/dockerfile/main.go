// Command dockerfile prints the stages of a Dockerfile as JSON, as BuildKit's own parser reads them; what it refuses, and what its
// linter warns of, is an error:
//
//	dockerfile FILE
//
// It is a module of its own, outside go.work: BuildKit's dependencies are no business of Gantry's.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stage is what follows a FROM.
type stage struct {
	Name  string `json:"name"`
	Base  string `json:"base"`
	Steps []step `json:"steps"`
}

// step is an instruction. Args are its words: of COPY the sources and then the destination, of ARG and ENV name=value.
type step struct {
	Do   string   `json:"do"`
	From string   `json:"from,omitempty"` // of COPY: the stage
	Args []string `json:"args,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dockerfile FILE")
		os.Exit(2)
	}
	stages, err := read(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(stages)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dockerfile:", err)
		os.Exit(1)
	}
}

func read(path string) ([]stage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tree, err := parser.Parse(f)
	if err != nil {
		return nil, err
	}
	var warned []error
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		warned = append(warned, fmt.Errorf("%s: %s", rule, message))
	}})
	parsed, _, err := instructions.Parse(tree.AST, lint)
	if err := errors.Join(append(warned, err)...); err != nil {
		return nil, err
	}
	var out []stage
	for _, s := range parsed {
		one := stage{Name: s.Name, Base: s.BaseName}
		for _, c := range s.Commands {
			one.Steps = append(one.Steps, stepOf(c))
		}
		out = append(out, one)
	}
	return out, nil
}

func stepOf(c instructions.Command) step {
	s := step{Do: strings.ToUpper(c.Name())}
	switch c := c.(type) {
	case *instructions.CopyCommand:
		s.From, s.Args = c.From, append(c.SourcePaths, c.DestPath)
	case *instructions.RunCommand:
		s.Args = c.CmdLine
	case *instructions.WorkdirCommand:
		s.Args = []string{c.Path}
	case *instructions.UserCommand:
		s.Args = []string{c.User}
	case *instructions.EntrypointCommand:
		s.Args = c.CmdLine
	case *instructions.EnvCommand:
		for _, e := range c.Env {
			s.Args = append(s.Args, e.Key+"="+e.Value)
		}
	case *instructions.ArgCommand:
		for _, a := range c.Args {
			s.Args = append(s.Args, a.Key+"="+a.ValueString())
		}
	}
	return s
}
