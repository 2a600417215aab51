package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// Relations name what they point at by one of these: a resource without its attributes.
type (
	organizationRef struct {
		ID string `jsonapi:"primary,organizations"`
	}
	workspaceRef struct {
		ID string `jsonapi:"primary,workspaces"`
	}
	configurationRef struct {
		ID string `jsonapi:"primary,configuration-versions"`
	}
	stateRef struct {
		ID string `jsonapi:"primary,state-versions"`
	}
	runRef struct {
		ID string `jsonapi:"primary,runs"`
	}
	planRef struct {
		ID string `jsonapi:"primary,plans"`
	}
	applyRef struct {
		ID string `jsonapi:"primary,applies"`
	}
	variableRef struct {
		ID string `jsonapi:"primary,vars"`
	}
	variableSetRef struct {
		ID string `jsonapi:"primary,varsets"`
	}
)

// paging names the query parameters of a list.
func paging(more ...string) []string { return append(more, "page[number]", "page[size]") }

// stamps collects times under TFE's names. Times that never came are left out.
type stamps map[string]time.Time

func (s stamps) set(name string, at *time.Time) {
	if at != nil && !at.IsZero() {
		s[name] = at.UTC().Truncate(time.Second)
	}
}

// checkObject reports in the words of the document what the JSON:API library would report in those of the Go source: the
// wrong type, or the first attribute or relationship that v, a pointer to a tagged struct, can't hold.
func checkObject(body []byte, v any) error {
	var doc struct {
		Data *struct {
			Type          string                     `json:"type"`
			Attributes    map[string]json.RawMessage `json:"attributes"`
			Relationships map[string]json.RawMessage `json:"relationships"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || doc.Data == nil {
		return invalid(`the body is not a JSON:API document: want {"data": {"type": …, "attributes": {…}}}`)
	}
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		f := t.Field(i)
		kind, name, _ := strings.Cut(f.Tag.Get("jsonapi"), ",")
		attribute, hasAttribute := doc.Data.Attributes[name]
		relationship, hasRelationship := doc.Data.Relationships[name]
		switch {
		case kind == "primary" && doc.Data.Type != name:
			return invalid("field data.type: got %q, want %q", doc.Data.Type, name)
		case kind == "attr" && hasAttribute && json.Unmarshal(attribute, reflect.New(f.Type).Interface()) != nil:
			return invalid("field %s: want %s", name, wants(f.Type))
		case kind == "relation" && hasRelationship && f.Type.Kind() == reflect.Slice && !pointsAtAll(relationship, f.Type.Elem()):
			return invalid(`relationship %s: want {"data": [{"type": %q, "id": …}]}`, name, resourceType(f.Type.Elem()))
		case kind == "relation" && hasRelationship && f.Type.Kind() != reflect.Slice && !pointsAt(relationship, f.Type):
			return invalid(`relationship %s: want {"data": {"type": %q, "id": …}}`, name, resourceType(f.Type))
		}
	}
	return nil
}

// pointsAt reports whether the relationship names one resource of t's type, or none.
func pointsAt(relationship json.RawMessage, t reflect.Type) bool {
	var r struct {
		Data *struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"data"`
	}
	err := json.Unmarshal(relationship, &r)
	return err == nil && (r.Data == nil || r.Data.Type == resourceType(t))
}

// pointsAtAll reports whether the relationship is a list of resources of t's type.
func pointsAtAll(relationship json.RawMessage, t reflect.Type) bool {
	var r struct {
		Data []struct {
			Type string `json:"type"`
			ID   string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(relationship, &r) != nil {
		return false
	}
	for _, to := range r.Data {
		if to.Type != resourceType(t) || to.ID == "" {
			return false
		}
	}
	return true
}

// resourceType is the JSON:API type of t, a pointer to one of the references above.
func resourceType(t reflect.Type) string {
	_, name, _ := strings.Cut(t.Elem().Field(0).Tag.Get("jsonapi"), ",")
	return name
}

// wants says in the words of JSON what a field of type t takes.
func wants(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "a list of strings"
	default:
		return "a number"
	}
}
