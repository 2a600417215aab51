package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gantry.example/internal/statefile"
	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// tfeState is a state version.
type tfeState struct {
	ID                     string    `jsonapi:"primary,state-versions"`
	CreatedAt              time.Time `jsonapi:"attr,created-at,iso8601"`
	Serial                 int64     `jsonapi:"attr,serial"`
	Lineage                string    `jsonapi:"attr,lineage"`
	MD5                    string    `jsonapi:"attr,md5"`
	Size                   int64     `jsonapi:"attr,size"`
	Status                 string    `jsonapi:"attr,status"`
	StateVersion           int       `jsonapi:"attr,state-version"`
	TerraformVersion       string    `jsonapi:"attr,terraform-version"`
	ResourcesProcessed     bool      `jsonapi:"attr,resources-processed"`
	HostedStateDownloadURL string    `jsonapi:"attr,hosted-state-download-url"`
	// PushedBy is not TFE's: who wrote the state by hand, "" when a run did.
	PushedBy string  `jsonapi:"attr,pushed-by"`
	Run      *runRef `jsonapi:"relation,run"`
	// Workspace is not TFE's: it spares a look at the run.
	Workspace *workspaceRef     `jsonapi:"relation,workspace"`
	Outputs   []*stateOutputRef `jsonapi:"relation,outputs,omitempty"` // of one that is shown alone
}

type stateOutputRef struct {
	ID string `jsonapi:"primary,state-version-outputs"`
}

// listedOutputs bounds the bytes of a state that is read for the names of its outputs though nobody asked to include them.
const listedOutputs = 4 << 20

// tfeOutput is one output value of a state version.
type tfeOutput struct {
	ID           string `jsonapi:"primary,state-version-outputs"`
	Name         string `jsonapi:"attr,name"`
	Sensitive    bool   `jsonapi:"attr,sensitive"`
	Type         string `jsonapi:"attr,type"`
	DetailedType any    `jsonapi:"attr,detailed-type"`
	Value        any    `jsonapi:"attr,value"`
}

// stateFormat is the only format of states that Terraform writes since 0.12.
const stateFormat = 4

func (s *Server) answerState(r *request, sv postgres.StateVersion) (reply, error) {
	doc, side := s.stateDocument(sv), r.include()
	if side.asks("outputs") || sv.Size < listedOutputs {
		outputs, err := s.outputs(r, sv.ID)
		if err != nil {
			return reply{}, err
		}
		for _, o := range hideSensitive(outputs) {
			doc.Outputs = append(doc.Outputs, &stateOutputRef{o.ID})
			if err := side.add("outputs", o.ID, func() (any, error) { return o, nil }); err != nil {
				return reply{}, err
			}
		}
	}
	if sv.RunID != nil {
		err := side.add("run", *sv.RunID, func() (any, error) {
			found, err := s.db.Run(r.Context(), *sv.RunID)
			if err != nil {
				return nil, err
			}
			return s.shownRun(r, found)
		})
		if err != nil {
			return reply{}, err
		}
	}
	return object(doc, side.docs...)
}

func (s *Server) stateDocument(sv postgres.StateVersion) *tfeState {
	doc := &tfeState{
		ID: sv.ID, CreatedAt: sv.CreatedAt, Serial: sv.Serial, Lineage: sv.Lineage, MD5: sv.MD5, Size: sv.Size, Status: "finalized",
		StateVersion: stateFormat, TerraformVersion: sv.TerraformVersion, ResourcesProcessed: true,
		HostedStateDownloadURL: s.link("/api/v2/state-versions/%s/download", sv.ID), PushedBy: sv.CreatedBy,
		Workspace: &workspaceRef{sv.WorkspaceID},
	}
	if sv.Superseded {
		doc.Status = "discarded" // kept aside, never the workspace's current state
	}
	if sv.RunID != nil {
		doc.Run = &runRef{*sv.RunID}
	}
	return doc
}

func (s *Server) currentState(r *request) (postgres.StateVersion, error) {
	w, err := s.workspace(r)
	if err != nil {
		return postgres.StateVersion{}, err
	}
	return s.db.CurrentStateVersion(r.Context(), w.ID)
}

func (s *Server) showCurrentState(r *request) (reply, error) {
	sv, err := s.currentState(r)
	if err != nil {
		return reply{}, err
	}
	return s.answerState(r, sv)
}

func (s *Server) showState(r *request) (reply, error) {
	sv, err := s.db.StateVersion(r.Context(), r.PathValue("state"))
	if err != nil {
		return reply{}, err
	}
	return s.answerState(r, sv)
}

func (s *Server) downloadState(r *request) (reply, error) {
	b, err := s.db.State(r.Context(), r.PathValue("state"))
	return blobReply(b, kindJSON, err)
}

// listCurrentOutputs lists all outputs at once: Terraform's CLI asks for no second page. A workspace without a state has
// none; TFE says the same.
func (s *Server) listCurrentOutputs(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	sv, err := s.db.CurrentStateVersion(r.Context(), w.ID)
	if isNotFound(err) {
		return collection([]*tfeOutput{}, nil)
	}
	if err != nil {
		return reply{}, err
	}
	outputs, err := s.outputs(r, sv.ID)
	if err != nil {
		return reply{}, err
	}
	return collection(hideSensitive(outputs), nil)
}

func (s *Server) listOutputs(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	outputs, err := s.outputs(r, r.PathValue("state"))
	if err != nil {
		return reply{}, err
	}
	total, n := len(outputs), p.Normal()
	from := min((n.Number-1)*n.Size, total)
	return list(hideSensitive(outputs[from:min(from+n.Size, total)]), p, total)
}

// showOutput shows a sensitive value too: terraform output asks for each of them by its id.
func (s *Server) showOutput(r *request) (reply, error) {
	id := r.PathValue("output")
	state, _, ok := splitOutputID(id)
	if !ok {
		return reply{}, notFound("output", id)
	}
	outputs, err := s.outputs(r, state)
	if err != nil && !isNotFound(err) {
		return reply{}, err
	}
	at := slices.IndexFunc(outputs, func(o *tfeOutput) bool { return o.ID == id })
	if at < 0 {
		return reply{}, notFound("output", id)
	}
	return object(outputs[at])
}

// An output has no row: its id is made of the state version's and its name.
const (
	prefixState  = "sv-"
	prefixOutput = "wsout-"
	randomLength = 16 // of every id, after its prefix
)

func outputID(state, name string) string {
	return prefixOutput + strings.TrimPrefix(state, prefixState) + "-" + name
}

func splitOutputID(id string) (state, name string, ok bool) {
	rest, ok := strings.CutPrefix(id, prefixOutput)
	if !ok || len(rest) < randomLength+2 || rest[randomLength] != '-' {
		return "", "", false
	}
	return prefixState + rest[:randomLength], rest[randomLength+1:], true
}

// outputs reads the outputs of a state version, by name.
func (s *Server) outputs(r *request, stateID string) ([]*tfeOutput, error) {
	state, err := s.db.State(r.Context(), stateID)
	if err != nil {
		return nil, err
	}
	var outputs map[string]struct {
		Value     json.RawMessage `json:"value"`
		Type      json.RawMessage `json:"type"`
		Sensitive bool            `json:"sensitive"`
	}
	if err := statefile.Outputs(state, &outputs); err != nil {
		return nil, fmt.Errorf("read the outputs of state version %s: %w", stateID, err)
	}
	var out []*tfeOutput
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		o := outputs[name]
		out = append(out, &tfeOutput{
			ID: outputID(stateID, name), Name: name, Sensitive: o.Sensitive, Type: outputType(o.Type), DetailedType: o.Type, Value: o.Value,
		})
	}
	return out, nil
}

// outputType is the type in TFE's short words. detailed has it in Terraform's: "string", or a list such as ["map","string"].
func outputType(detailed json.RawMessage) string {
	var word string
	if json.Unmarshal(detailed, &word) != nil {
		var words []json.RawMessage
		if json.Unmarshal(detailed, &words) == nil && len(words) > 0 {
			_ = json.Unmarshal(words[0], &word) // anything else is shown as it is not known
		}
	}
	switch word {
	case "bool":
		return "boolean"
	case "list", "set", "tuple":
		return "array"
	case "map":
		return "object"
	default:
		return word
	}
}

func hideSensitive(outputs []*tfeOutput) []*tfeOutput {
	for _, o := range outputs {
		if o.Sensitive {
			o.Value = nil
		}
	}
	return outputs
}

func notFound(what, id string) error {
	return &postgres.Error{Code: messages.CodeNotFound, Message: fmt.Sprintf("%s %q does not exist", what, id)}
}

func isNotFound(err error) bool {
	var coded *postgres.Error
	return errors.As(err, &coded) && coded.Code == messages.CodeNotFound
}
