package client

import (
	"encoding/json"
	"fmt"
	"strings"
)

// resource is an object of a JSON:API document.
type resource struct {
	ID            string                     `json:"id"`
	Type          string                     `json:"type"`
	Attributes    map[string]json.RawMessage `json:"attributes"`
	Relationships map[string]struct {
		Data json.RawMessage `json:"data"`
	} `json:"relationships"`
}

// into decodes the resource as a plain object: "id", every attribute with _ for -, and for every relationship to one
// object its id as "<name>_id", to many the ids as "<name less its s>_ids". So the structs of this package need one set of tags for reading and for showing.
func (r resource) into(out any) error {
	plain := map[string]any{}
	for name, value := range r.Attributes {
		plain[underscored(name)] = value
	}
	for name, relationship := range r.Relationships {
		var to struct {
			ID string `json:"id"`
		}
		var many []identifier
		switch {
		case json.Unmarshal(relationship.Data, &to) == nil && to.ID != "":
			plain[underscored(name)+"_id"] = to.ID
		case json.Unmarshal(relationship.Data, &many) == nil && many != nil:
			ids := make([]string, len(many))
			for i, one := range many {
				ids[i] = one.ID
			}
			plain[strings.TrimSuffix(underscored(name), "s")+"_ids"] = ids
		}
	}
	plain["id"] = r.ID
	b, err := json.Marshal(plain)
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.Type, r.ID, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s %s is not as this program expects it (is the server newer?): %w", r.Type, r.ID, err)
	}
	return nil
}

func underscored(name string) string { return strings.ReplaceAll(name, "-", "_") }

// newResource is an object to be created.
type newResource struct {
	Type          string                   `json:"type"`
	Attributes    any                      `json:"attributes"`
	Relationships map[string]relationToOne `json:"relationships,omitempty"`
}

type relationToOne struct {
	Data identifier `json:"data"`
}

type identifier struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func relation(kind, id string) relationToOne { return relationToOne{identifier{Type: kind, ID: id}} }
