package api

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"gantry.example/internal/statefile"
	"gantry.example/services/postgres"
)

// tfeResource is a resource of the current state: one for each instance of those that Terraform manages.
type tfeResource struct {
	ID           string    `jsonapi:"primary,resources"`
	Address      string    `jsonapi:"attr,address"`
	Name         string    `jsonapi:"attr,name"`
	Module       string    `jsonapi:"attr,module"`
	Provider     string    `jsonapi:"attr,provider"`
	ProviderType string    `jsonapi:"attr,provider-type"`
	NameIndex    *string   `jsonapi:"attr,name-index"`
	ModifiedBy   string    `jsonapi:"attr,modified-by-state-version-id"`
	CreatedAt    time.Time `jsonapi:"attr,created-at,iso8601"` // when this state version was written: no state knows more
	UpdatedAt    time.Time `jsonapi:"attr,updated-at,iso8601"`
}

// listResources lists what the workspace's current state has.
func (s *Server) listResources(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	sv, err := s.db.CurrentStateVersion(r.Context(), w.ID)
	if isNotFound(err) {
		return list([]*tfeResource{}, p, 0)
	}
	if err != nil {
		return reply{}, err
	}
	state, err := s.db.State(r.Context(), sv.ID)
	if err != nil {
		return reply{}, err
	}
	all, err := resources(sv, state)
	if err != nil {
		return reply{}, fmt.Errorf("read the resources of state version %s: %w", sv.ID, err)
	}
	n := p.Normal()
	from := min((min(n.Number, len(all)+1)-1)*n.Size, len(all))
	return list(all[from:min(from+n.Size, len(all))], p, len(all))
}

// resources reads them from a state, in its order.
func resources(sv postgres.StateVersion, state io.Reader) ([]*tfeResource, error) {
	var out []*tfeResource
	err := statefile.Resources(state, func(dec *json.Decoder) error {
		var r stateResource
		err := dec.Decode(&r)
		if r.Mode != "managed" {
			return err
		}
		for _, i := range r.Instances {
			if i.Deposed == "" { // what is to be destroyed has a successor, which is there, too
				out = append(out, r.instance(sv, len(out), i.Index))
			}
		}
		return err
	})
	return out, err
}

// stateResource is one of a state.
type stateResource struct {
	Module    string `json:"module"`
	Mode      string `json:"mode"`
	Type      string `json:"type"`
	Name      string `json:"name"`
	Provider  string `json:"provider"`
	Instances []struct {
		Index   json.RawMessage `json:"index_key"`
		Deposed string          `json:"deposed"`
	} `json:"instances"`
}

// instance is the resource with the index, which is the nth of its state version.
func (r stateResource) instance(sv postgres.StateVersion, n int, index json.RawMessage) *tfeResource {
	module := strings.ReplaceAll(strings.TrimPrefix(r.Module, "module."), ".module.", ".")
	one := &tfeResource{
		ID: fmt.Sprintf("wsr-%s-%d", strings.TrimPrefix(sv.ID, prefixState), n), Address: r.Type + "." + r.Name, Name: r.Name, Module: module,
		Provider: providerName(r.Provider), ProviderType: r.Type, ModifiedBy: sv.ID, CreatedAt: sv.CreatedAt, UpdatedAt: sv.CreatedAt,
	}
	if module != "" {
		one.Address = module + "." + one.Address
	} else {
		one.Module = "root"
	}
	if len(index) > 0 {
		index := string(index)
		one.NameIndex, one.Address = &index, one.Address+"["+index+"]"
	}
	return one
}

// providerName is hashicorp/aws of provider["registry.terraform.io/hashicorp/aws"].east.
func providerName(address string) string {
	_, rest, _ := strings.Cut(address, `["`)
	source, _, _ := strings.Cut(rest, `"]`)
	if _, name, ok := strings.Cut(source, "/"); ok {
		return name
	}
	return source
}
