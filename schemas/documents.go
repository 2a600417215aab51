// Package schemas builds the documents that other languages see of Gantry's contracts. The files in this folder are its
// output, checked in: `make generate` writes them, and a test fails when they differ from the Go types.
package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/invopop/jsonschema"

	"gantry.example/messages"
)

// document is one generated file. build returns what becomes its JSON.
type document struct {
	file  string
	build func(*source) (any, error)
}

func documents(root string) []document {
	return []document{
		{"task.json", message(messages.Task{}, lenient)},
		{"event.json", message(messages.Event{}, lenient)},
		{"command.json", message(messages.Command{}, lenient)},
		{"hint.json", message(messages.Hint{}, lenient)},
		{"load.json", message(messages.Load{}, lenient)},
		{"lease.json", message(messages.Lease{}, lenient)},
		{"run_request.json", message(messages.RunRequest{}, strict)},
		{"run_answer.json", message(messages.RunAnswer{}, lenient)},
		{"dead_letter.json", message(messages.DeadLetter{}, lenient)},
		{"execution.json", message(messages.Execution{}, strict)},
		{"codes.json", codes},
		{"asyncapi.json", asyncapi},
		{"openapi.json", openapi(root)},
	}
}

// Generate returns the content of every document by file name. root is the folder of the repository: names and comments of
// the contracts are read from their source there.
func Generate(root string) (map[string][]byte, error) {
	src, err := readSource(filepath.Join(root, "messages"))
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, d := range documents(root) {
		v, err := d.build(src)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", d.file, err)
		}
		if out[d.file], err = encode(v); err != nil {
			return nil, fmt.Errorf("schema %s: %w", d.file, err)
		}
	}
	return out, nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// codes is a schema too, so that a client can generate an enumeration from it: one constant with its meaning per code.
func codes(src *source) (any, error) {
	s := &jsonschema.Schema{
		Version:     jsonschema.Version,
		ID:          schemaID("codes"),
		Title:       "Code",
		Description: src.docs["Code"],
	}
	for _, c := range src.constants["Code"] {
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Const: c.value, Description: c.doc})
	}
	if len(s.OneOf) != len(messages.Codes()) {
		return nil, fmt.Errorf("the source has %d codes, messages.Codes() lists %d", len(s.OneOf), len(messages.Codes()))
	}
	return s, nil
}
