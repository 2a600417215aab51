package schemas

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/api"
	"gantry.example/services/run"
)

// object is a JSON object that is being put together.
type object = map[string]any

const (
	kindJSON    = "application/json"
	kindJSONAPI = "application/vnd.api+json"
	kindBytes   = "application/octet-stream"

	components = "#/components/schemas/"
)

// openapi describes the HTTP API from its table of routes. root is the folder of the repository.
func openapi(root string) func(*source) (any, error) {
	return func(src *source) (any, error) {
		b := &builder{
			sources: map[string]*source{reflect.TypeFor[messages.Task]().PkgPath(): src},
			schemas: object{"Code": codeSchema(src), "TFEResource": resource(), "TFEResources": resources()},
		}
		for folder, t := range map[string]reflect.Type{
			"internal/wire": reflect.TypeFor[wire.Claim](), "services/run": reflect.TypeFor[run.Run](), "services/api": reflect.TypeFor[api.RouteInfo](),
		} {
			s, err := readSource(filepath.Join(root, filepath.FromSlash(folder)))
			if err != nil {
				return nil, err
			}
			b.sources[t.PkgPath()] = s
		}
		return b.document()
	}
}

// builder collects the schemas that operations refer to.
type builder struct {
	sources map[string]*source // of the packages whose types are described, by import path
	schemas object
}

func (b *builder) document() (any, error) {
	failure, err := b.schema(reflect.TypeFor[api.ErrorDocument]())
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, r := range api.Describe() {
		path := regexp.MustCompile(`\.\.\.\}`).ReplaceAllString(strings.TrimSuffix(r.Pattern, "{$}"), "}")
		op, err := b.operation(r, path)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.Method, r.Pattern, err)
		}
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = op
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "Gantry", "version": "1", "license": object{"name": "Apache-2.0"}, "description": "Below /api/v2 are TFE's objects " +
			"in TFE's JSON:API shapes, below /api/gantry/v1 Gantry's own calls. Every error carries a code of the closed list in the schema Code."},
		"servers": []object{{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": b.schemas,
			"responses": object{"Error": object{"description": "What went wrong, with its code", "content": object{
				kindJSONAPI: object{"schema": failure},
			}}},
			"securitySchemes": object{
				"person":  bearer("The token of a person"),
				"pool":    bearer("The token of the workers of a pool"),
				"attempt": bearer("The token of one attempt, handed out by its claim"),
			},
		},
	}, nil
}

func bearer(description string) object {
	return object{"type": "http", "scheme": "bearer", "description": description}
}

func (b *builder) operation(r api.RouteInfo, path string) (object, error) {
	op := object{"operationId": operationID(r.Method, path), "summary": r.Summary, "tags": []string{tag(path)}}
	answer := object{"description": "Done"}
	for _, body := range []struct {
		of    any
		media string
		put   func(object)
	}{
		{r.In, "", func(content object) { op["requestBody"] = object{"required": true, "content": content} }},
		{r.Out, r.Media, func(content object) { answer["content"] = content }},
	} {
		if body.of == nil {
			continue
		}
		content, err := b.content(reflect.TypeOf(body.of), body.media)
		if err != nil {
			return nil, err
		}
		body.put(content)
	}
	op["responses"] = object{fmt.Sprint(r.Status): answer, "default": object{"$ref": "#/components/responses/Error"}}
	op["security"] = []object{}
	if r.Access != "public" {
		op["security"] = []object{{r.Access: []string{}}}
	}
	if params := parameters(r, path); len(params) > 0 {
		op["parameters"] = params
	}
	return op, nil
}

func parameters(r api.RouteInfo, path string) []object {
	var out []object
	text := object{"type": "string"}
	for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
		out = append(out, object{"name": m[1], "in": "path", "required": true, "schema": text})
	}
	for _, name := range r.Query {
		out = append(out, object{"name": name, "in": "query", "schema": text})
	}
	if r.Create {
		out = append(out, object{"name": "Idempotency-Key", "in": "header", "schema": text,
			"description": "The same request again under the same key is carried out once"})
	}
	return out
}

// operationID is "getRunsRunEvents" for GET /api/gantry/v1/runs/{run}/events.
func operationID(method, path string) string {
	id := strings.ToLower(method)
	path = strings.Replace(strings.TrimPrefix(path, "/api/gantry/v1"), "/api/v2", "/tfe", 1)
	for _, word := range regexp.MustCompile(`[A-Za-z0-9]+`).FindAllString(path, -1) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func tag(path string) string {
	for _, t := range []struct{ prefix, name string }{
		{"/api/gantry/v1/claim", "workers"}, {"/api/gantry/v1/attempts", "workers"}, {"/api/gantry/", "gantry"},
		{"/api/v2/signed/", "signed"}, {"/api/", "tfe"},
	} {
		if strings.HasPrefix(path, t.prefix) {
			return t.name
		}
	}
	return "discovery"
}

// content is a body by its media type.
func (b *builder) content(t reflect.Type, media string) (object, error) {
	var schema object
	var kind string
	var err error
	switch many, tagged := jsonAPI(t); {
	case t == reflect.TypeFor[[]byte]():
		schema, kind = object{"type": "string", "format": "binary"}, or(media, kindBytes)
	case tagged && many:
		schema, kind = object{"$ref": components + "TFEResources"}, or(media, kindJSONAPI)
	case tagged:
		schema, kind = object{"$ref": components + "TFEResource"}, or(media, kindJSONAPI)
	default:
		kind = or(media, kindJSON)
		schema, err = b.schema(t)
	}
	return object{kind: object{"schema": schema}}, err
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// jsonAPI reports whether the type is a JSON:API resource, or a list of them.
func jsonAPI(t reflect.Type) (many, tagged bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		many = many || t.Kind() == reflect.Slice
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return many, false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("jsonapi") != "" {
			return many, true
		}
	}
	return many, false
}

// schema describes a type and everything it refers to, and returns the reference.
func (b *builder) schema(t reflect.Type) (object, error) {
	r := jsonschema.Reflector{
		Anonymous: true, AllowAdditionalProperties: true, Namer: schemaName, Mapper: b.mapped, LookupComment: b.comment,
	}
	text, err := json.Marshal(r.ReflectFromType(t))
	if err != nil {
		return nil, err
	}
	var s object
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(text), "#/$defs/", components)), &s); err != nil {
		return nil, err
	}
	defs, _ := s["$defs"].(object)
	for name, def := range defs {
		def = plain(def)
		if have, ok := b.schemas[name]; ok && !reflect.DeepEqual(have, def) {
			return nil, fmt.Errorf("two types want the schema name %s", name)
		}
		b.schemas[name] = def
	}
	delete(s, "$defs")
	delete(s, "$schema")
	return s, nil
}

// plain turns JSON Schema into what OpenAPI 3.0 knows of it: nothing may stand beside a reference.
func plain(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for key, value := range v {
			out[key] = plain(value)
		}
		if out["contentEncoding"] == "base64" {
			delete(out, "contentEncoding")
			out["format"] = "byte"
		}
		if ref, ok := out["$ref"]; ok && len(out) > 1 {
			delete(out, "$ref")
			out["allOf"] = []any{object{"$ref": ref}}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = plain(value)
		}
		return out
	default:
		return v
	}
}

// schemaName keeps apart what the domain and the wire give the same name.
func schemaName(t reflect.Type) string {
	if t.Name() == "" {
		return ""
	}
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if t.PkgPath() == reflect.TypeFor[run.Run]().PkgPath() && name != "Run" {
		return "Run." + name
	}
	return name
}

func (b *builder) mapped(t reflect.Type) *jsonschema.Schema {
	src := b.sources[t.PkgPath()]
	switch {
	case src == nil || t.Name() == "":
		return nil
	case t == reflect.TypeFor[messages.Code]():
		return &jsonschema.Schema{Ref: components + "Code"}
	case t.PkgPath() == reflect.TypeFor[messages.Task]().PkgPath():
		return src.mapped(t)
	case len(src.constants[t.Name()]) == 0:
		return nil
	}
	s := &jsonschema.Schema{Type: "string"}
	for _, c := range src.constants[t.Name()] {
		s.Enum = append(s.Enum, c.value)
	}
	return s
}

func (b *builder) comment(t reflect.Type, field string) string {
	src := b.sources[t.PkgPath()]
	if src == nil {
		return ""
	}
	return src.comment(t, field)
}

// codeSchema is the closed list of codes, each with its meaning.
func codeSchema(src *source) object {
	var values []any
	var meanings strings.Builder
	meanings.WriteString(src.docs["Code"])
	for _, c := range src.constants["Code"] {
		values = append(values, c.value)
		_, _ = fmt.Fprintf(&meanings, "\n- `%s`: %s", c.value, c.doc)
	}
	return object{"type": "string", "enum": values, "description": meanings.String()}
}

func resource() object {
	return object{"type": "object", "description": "A JSON:API document with one resource of TFE's API", "required": []any{"data"}, "properties": object{
		"data": object{"type": "object", "required": []any{"type"}, "properties": object{
			"id": object{"type": "string"}, "type": object{"type": "string"}, "attributes": object{"type": "object"},
			"relationships": object{"type": "object"}, "links": object{"type": "object"},
		}},
		"included": object{"type": "array", "items": object{"type": "object"}},
	}}
}

func resources() object {
	return object{"type": "object", "description": "A JSON:API document with a page of resources of TFE's API", "required": []any{"data"}, "properties": object{
		"data":     object{"type": "array", "items": object{"type": "object"}},
		"included": object{"type": "array", "items": object{"type": "object"}},
		"meta":     object{"type": "object", "properties": object{"pagination": object{"type": "object"}}},
	}}
}
