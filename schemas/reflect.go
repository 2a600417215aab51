package schemas

import (
	"reflect"

	"github.com/invopop/jsonschema"

	"gantry.example/messages"
)

// Whether a document with an unknown field is refused. Messages are read leniently, what a user writes is not.
const (
	lenient = true
	strict  = false
)

// message describes the type of v, with its Go comments as descriptions and its constants as enumerations.
func message(v any, lenient bool) func(*source) (any, error) {
	return func(src *source) (any, error) {
		t := reflect.TypeOf(v)
		r := jsonschema.Reflector{
			Anonymous:                 true,
			ExpandedStruct:            true,
			AllowAdditionalProperties: lenient,
			Mapper:                    src.mapped,
			LookupComment:             src.comment,
		}
		s := r.ReflectFromType(t)
		s.ID = schemaID(jsonschema.ToSnakeCase(t.Name()))
		s.Title = t.Name()
		return s, nil
	}
}

func schemaID(name string) jsonschema.ID {
	return jsonschema.ID("https://gantry.example/schemas/" + name + ".json")
}

// mapped describes the types of messages whose JSON says more than their Go kind does.
func (src *source) mapped(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[messages.Ref]() {
		return &jsonschema.Schema{
			OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "integer", Minimum: "1"}},
		}
	}
	if t.PkgPath() != reflect.TypeFor[messages.Task]().PkgPath() || len(src.constants[t.Name()]) == 0 {
		return nil
	}
	s := &jsonschema.Schema{Type: "string"}
	for _, c := range src.constants[t.Name()] {
		if c.value != string(messages.ModeHybrid) { // reserved: a document with it is refused
			s.Enum = append(s.Enum, c.value)
		}
	}
	return s
}

// comment is the description of a type or of one of its fields. A field without a comment has that of its type.
func (src *source) comment(t reflect.Type, field string) string {
	if field == "" {
		return src.docs[t.Name()]
	}
	if doc := src.docs[t.Name()+"."+field]; doc != "" {
		return doc
	}
	if f, ok := t.FieldByName(field); ok {
		return src.docs[f.Type.Name()]
	}
	return ""
}
