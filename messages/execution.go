package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Mode says where a workspace's tasks are executed.
type Mode string

// The execution modes. ModeHybrid is reserved.
const (
	ModeLocal  Mode = "local"  // on the platform server
	ModeAgent  Mode = "agent"  // on an agent of a pool
	ModeK8s    Mode = "k8s"    // in a Kubernetes Pod
	ModeHybrid Mode = "hybrid" // not supported yet
)

// Engine is the program that plans and applies.
type Engine string

// The engines. The empty value means terraform.
const (
	EngineTerraform Engine = "terraform"
	EngineOpenTofu  Engine = "tofu"
)

// Strategy chooses among the free agents of a pool that offer the required labels. The empty value means round robin.
type Strategy string

// The selection strategies.
const (
	RoundRobin Strategy = "round_robin"
	LeastBusy  Strategy = "least_busy"
	Random     Strategy = "random"
	LabelMatch Strategy = "label_match"
)

// Ref names another object by id, by name or by number. In JSON it is a string or an integer.
type Ref string

// UnmarshalJSON accepts "apool-…", "name" and 1.
func (r *Ref) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*r = Ref(s)
		return nil
	}
	var n uint64
	if json.Unmarshal(b, &n) != nil || n == 0 {
		// This error type, because the decoder adds the path of the field to it.
		return &json.UnmarshalTypeError{Value: string(b), Type: reflect.TypeFor[Ref]()}
	}
	*r = Ref(fmt.Sprint(n))
	return nil
}

// Execution is the execution document: where and with what a workspace's runs are carried out. The zero value of every
// field means "not said here"; Merge fills it from the level above.
type Execution struct {
	Mode Mode `json:"execution_mode,omitempty"`

	// Common to all modes, kept across a switch of the mode:

	TerraformVersion string `json:"terraform_version,omitempty"` // exact version or constraint of the engine
	Engine           Engine `json:"engine,omitempty"`
	// Workdir is the folder inside the configuration that is planned and applied. In local mode it may instead be an absolute
	// folder of the server below which runs are carried out; the server's --allowed-workdirs says which.
	Workdir  string   `json:"workdir,omitempty"`
	Timeouts Timeouts `json:"timeouts,omitzero"` // limits of a run

	// Agent mode:

	AgentPool      Ref      `json:"agent_pool_id,omitempty"`
	Strategy       Strategy `json:"selection_strategy,omitempty"`
	RequiredLabels []string `json:"required_labels,omitempty"`

	// K8s mode:

	K8sConfig   Ref          `json:"k8s_config_id,omitempty"`
	Namespace   string       `json:"namespace,omitempty"`
	PodTemplate *PodTemplate `json:"pod_template,omitempty"`
}

// FieldError names the field of a document that is wrong. Path is dotted, as in "pod_template.image".
type FieldError struct {
	Path    string
	Code    Code
	Problem string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("execution document: field %s: %s", e.Path, e.Problem)
}

// ParseExecution decodes a document, refuses unknown fields with their path, and validates it. Errors are *FieldError.
func ParseExecution(b []byte) (Execution, error) {
	var e Execution
	var raw any
	if err := json.Unmarshal(b, &raw); err != nil {
		return e, &FieldError{"(document)", CodeExecutionInvalid, "not JSON: " + err.Error()}
	}
	if raw == nil { // null is an unset field inside the document, but no document
		return e, &FieldError{"(document)", CodeExecutionInvalid, "must be an object"}
	}
	if err := knownFields(raw, reflect.TypeFor[Execution](), ""); err != nil {
		return e, err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&e); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return e, &FieldError{orDocument(te.Field), CodeExecutionInvalid, te.Value + " is not " + wanted(te.Type)}
		}
		return e, &FieldError{"(document)", CodeExecutionInvalid, err.Error()}
	}
	return e, e.Validate()
}

// wanted says in the words of JSON what a field of Go type t takes.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Ref]():
		return "a string or a positive integer"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "a list of strings"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int32, t.Kind() == reflect.Int64:
		return "an integer"
	}
	return "an object"
}

// knownFields walks raw beside the Go type that will receive it and reports the first key that has no field.
func knownFields(raw any, t reflect.Type, at string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if items, ok := raw.([]any); ok && t.Kind() == reflect.Slice {
		for i, item := range items {
			if err := knownFields(item, t.Elem(), fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
		return nil
	}
	obj, ok := raw.(map[string]any)
	if !ok {
		if t.Kind() == reflect.Struct && raw != nil {
			return &FieldError{orDocument(at), CodeExecutionInvalid, "must be an object"}
		}
		return nil
	}
	if t.Kind() != reflect.Struct {
		return nil // maps of quantities take any key; wrong types are the decoder's to report
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = t.Field(i).Type
	}
	for _, key := range slices.Sorted(mapKeys(obj)) {
		p := strings.TrimPrefix(at+"."+key, ".")
		ft, ok := fields[key]
		if !ok {
			return &FieldError{p, CodeExecutionUnknownField, "unknown field"}
		}
		if err := knownFields(obj[key], ft, p); err != nil {
			return err
		}
	}
	return nil
}

func orDocument(at string) string {
	if at == "" {
		return "(document)"
	}
	return at
}

func mapKeys(m map[string]any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Validate reports the first field that is wrong by itself or does not belong to the mode. An empty mode admits only the
// common fields, because the other fields cannot be judged without one.
func (e Execution) Validate() error {
	switch e.Mode {
	case "", ModeLocal, ModeAgent, ModeK8s:
	case ModeHybrid:
		return &FieldError{"execution_mode", CodeExecutionInvalid, `"hybrid" is reserved and not supported yet; use local, agent or k8s`}
	default:
		return &FieldError{"execution_mode", CodeExecutionInvalid, fmt.Sprintf("%q is not one of local, agent, k8s", e.Mode)}
	}
	if e.Engine != "" && e.Engine != EngineTerraform && e.Engine != EngineOpenTofu {
		return &FieldError{"engine", CodeExecutionInvalid, fmt.Sprintf("%q is not one of terraform, tofu", e.Engine)}
	}
	if !validVersions(e.TerraformVersion) {
		return &FieldError{"terraform_version", CodeExecutionInvalid, fmt.Sprintf("%q is neither a version, such as 1.11.4, nor a constraint, such as ~> 1.11, nor latest", e.TerraformVersion)}
	}
	if err := e.validWorkdir(); err != nil {
		return err
	}
	if err := e.Timeouts.validate(); err != nil {
		return err
	}
	if e.Strategy != "" && !slices.Contains([]Strategy{RoundRobin, LeastBusy, Random, LabelMatch}, e.Strategy) {
		return &FieldError{"selection_strategy", CodeExecutionInvalid, fmt.Sprintf("%q is not one of round_robin, least_busy, random, label_match", e.Strategy)}
	}
	if _, err := CanonicalLabels(e.RequiredLabels); err != nil {
		return &FieldError{"required_labels", CodeExecutionInvalid, err.Error()}
	}
	for _, f := range []struct {
		path string
		set  bool
		mode Mode
	}{
		{"agent_pool_id", e.AgentPool != "", ModeAgent},
		{"selection_strategy", e.Strategy != "", ModeAgent},
		{"required_labels", len(e.RequiredLabels) > 0, ModeAgent},
		{"k8s_config_id", e.K8sConfig != "", ModeK8s},
		{"namespace", e.Namespace != "", ModeK8s},
		{"pod_template", e.PodTemplate != nil, ModeK8s},
	} {
		if f.set && e.Mode != f.mode {
			return &FieldError{f.path, CodeExecutionInvalid, fmt.Sprintf("belongs to execution_mode %q, the document says %q", f.mode, e.Mode)}
		}
	}
	if e.Namespace != "" && !ValidNamespace(e.Namespace) {
		return &FieldError{"namespace", CodeExecutionInvalid, fmt.Sprintf("%q is not the name of a namespace: lower-case letters, digits and -", e.Namespace)}
	}
	if e.PodTemplate != nil {
		return e.PodTemplate.Validate("pod_template")
	}
	return nil
}

// validVersions reports whether the text looks like a version, or like constraints with commas between them. Whether there is one
// is known where it is looked for.
func validVersions(text string) bool {
	if text == "" || text == "latest" {
		return true
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		for _, operator := range []string{"~>", ">=", "<=", "!=", ">", "<", "="} {
			if rest, found := strings.CutPrefix(part, operator); found {
				part = strings.TrimSpace(rest)
				break
			}
		}
		part = strings.TrimPrefix(part, "v")
		strange := func(r rune) bool {
			return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || strings.ContainsRune(".-+~", r))
		}
		if part == "" || part[0] < '0' || part[0] > '9' || strings.ContainsFunc(part, strange) {
			return false
		}
	}
	return true
}

// validWorkdir judges what can be judged without the server's settings.
func (e Execution) validWorkdir() error {
	switch p := e.Workdir; {
	case p == "":
		return nil
	case p != path.Clean(p) || p == ".." || strings.HasPrefix(p, "../"):
		return &FieldError{"workdir", CodeExecutionInvalid, fmt.Sprintf("%q must be a clean path inside the configuration, or an absolute one in local mode", p)}
	case path.IsAbs(p) && e.Mode != "" && e.Mode != ModeLocal:
		return &FieldError{"workdir", CodeExecutionInvalid, fmt.Sprintf("%q is absolute, which only execution_mode %q takes; write a path inside the configuration", p, ModeLocal)}
	default:
		return nil
	}
}

// Folder is the folder inside the configuration that is planned and applied; empty for its root.
func (e Execution) Folder() string {
	if path.IsAbs(e.Workdir) {
		return ""
	}
	return e.Workdir
}

// Base is the absolute folder of the server below which runs are carried out; empty for the server's own.
func (e Execution) Base() string {
	if path.IsAbs(e.Workdir) {
		return e.Workdir
	}
	return ""
}

// Common returns the fields that belong to no mode, which are kept when the mode changes. An absolute workdir belongs to
// the local mode.
func (e Execution) Common() Execution {
	return Execution{TerraformVersion: e.TerraformVersion, Engine: e.Engine, Workdir: e.Folder(), Timeouts: e.Timeouts}
}

// Merge returns e with every unset field taken from base. Fields of a mode are taken only from a base of the same mode;
// the common fields always are.
func (e Execution) Merge(base Execution) Execution {
	out := e
	if out.Mode == "" {
		out.Mode = base.Mode
	}
	fill(&out.TerraformVersion, base.TerraformVersion)
	fill(&out.Engine, base.Engine)
	out.Timeouts = out.Timeouts.merge(base.Timeouts)
	if base.Base() == "" || out.Mode == "" || out.Mode == ModeLocal {
		fill(&out.Workdir, base.Workdir)
	}
	if out.Mode != base.Mode {
		return out
	}
	fill(&out.AgentPool, base.AgentPool)
	fill(&out.Strategy, base.Strategy)
	if len(out.RequiredLabels) == 0 {
		out.RequiredLabels = base.RequiredLabels
	}
	fill(&out.K8sConfig, base.K8sConfig)
	fill(&out.Namespace, base.Namespace)
	if out.PodTemplate == nil {
		out.PodTemplate = base.PodTemplate
	}
	return out
}

func fill[T comparable](field *T, from T) {
	var zero T
	if *field == zero {
		*field = from
	}
}
