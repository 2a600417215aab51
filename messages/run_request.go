package messages

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// MaxRunRequest is the largest run request on NATS in bytes. A refused one must fit, wrapped as a DeadLetter, into the 1 MiB
// of a NATS message.
const MaxRunRequest = 256 << 10

// RunRequest asks for a run. It is the body of POST /api/gantry/v1/runs and of a message on IntakeSubject: both create the
// same run.
type RunRequest struct {
	V           int    `json:"v,omitempty"` // 0 counts as 1
	WorkspaceID string `json:"workspace_id"`
	// ConfigurationVersionID is the configuration to run. Empty means the newest one of the workspace.
	ConfigurationVersionID string `json:"configuration_version_id,omitempty"`
	Message                string `json:"message,omitempty"`
	// Options are exactly what is done: the workspace's own auto-apply is not asked for.
	Options RunOptions `json:"options,omitzero"`
	// Execution is merged over the documents of the workspace and its organization, for this run only.
	Execution Execution `json:"execution,omitzero"`
}

// RunOptions are Terraform's planning options as the user asked for them.
type RunOptions struct {
	PlanOnly     bool          `json:"plan_only,omitempty"`
	AutoApply    bool          `json:"auto_apply,omitempty"`
	Destroy      bool          `json:"destroy,omitempty"`
	RefreshOnly  bool          `json:"refresh_only,omitempty"`
	SkipRefresh  bool          `json:"skip_refresh,omitempty"`
	SavePlan     bool          `json:"save_plan,omitempty"` // keep the plan until it is confirmed, without keeping others from running
	TargetAddrs  []string      `json:"target_addrs,omitempty"`
	ReplaceAddrs []string      `json:"replace_addrs,omitempty"`
	Variables    []RunVariable `json:"variables,omitempty"`
}

// RunVariable is a root-module variable given with the run. Value is an HCL expression, as Terraform's CLI sends it.
type RunVariable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// RunAnswer is what a producer hears of its RunRequest: the run, or why there is none. A repeated request gets the same
// answer. It is sent once and not stored: a producer that missed it asks again under the same key.
type RunAnswer struct {
	V int `json:"v"`
	// IdempotencyKey is the one the request was carried out under, by which a producer recognizes its request.
	IdempotencyKey string   `json:"idempotency_key"`
	RunID          string   `json:"run_id,omitempty"`
	Error          *Failure `json:"error,omitempty"`
}

// Headers of a RunRequest on NATS.
const (
	// HeaderIdempotencyKey names the request: a second one under the same key creates no second run. Without it Nats-Msg-Id
	// counts, without both only a redelivery of the same message is recognized.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderReplyTo is where the RunAnswer goes: a subject below ProducerInboxPrefix. The reply subject of the message itself
	// is taken by JetStream, which says there that the message is stored.
	HeaderReplyTo = "Gantry-Reply-To"
)

// MaxIdempotencyKey is the longest idempotency key in bytes.
const MaxIdempotencyKey = 255

// ParseRunRequest decodes and validates a request. Errors are *Failure. A field it does not know is refused with its path:
// a run that leaves out what was asked for is another run. A version it does not know is no obstacle by itself.
func ParseRunRequest(b []byte) (RunRequest, error) {
	var r RunRequest
	var raw any
	if err := json.Unmarshal(b, &raw); err != nil {
		return r, invalid("", "the run request is not JSON: %v", err)
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return r, invalid("", "the run request is not a JSON object")
	}
	if bytes.Contains(b, []byte(`\u0000`)) {
		return r, invalid("", "the run request has a text with the character U+0000, which cannot be stored")
	}
	execution := fields["execution"]
	delete(fields, "execution")
	if err := knownFields(raw, reflect.TypeFor[RunRequest](), ""); err != nil {
		return r, requestField(err, "", fields["v"])
	}
	if execution != nil {
		fields["execution"] = execution
		doc, _ := json.Marshal(execution) // was JSON before
		if _, err := ParseExecution(doc); err != nil {
			return r, requestField(err, "execution.", fields["v"])
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) {
			return r, invalid(te.Field, "%s is not what belongs there", te.Value)
		}
		return r, invalid("", "the run request is not readable: %v", err)
	}
	return r, r.Validate()
}

// requestField is a FieldError as the Failure of a request whose field "v" is version.
func requestField(err error, prefix string, version any) error {
	var fe *FieldError
	if !errors.As(err, &fe) {
		return err
	}
	f := &Failure{Code: fe.Code, Field: strings.TrimSuffix(prefix+strings.TrimPrefix(fe.Path, "(document)"), "."), Message: fe.Problem}
	if prefix == "" { // not about the execution document
		f.Code = CodeInvalid
	}
	if v, ok := version.(float64); ok && v > Version && fe.Code == CodeExecutionUnknownField {
		f.Message += fmt.Sprintf(" to version %d, which is this server's; the request is of version %g", Version, v)
	}
	return f
}

// Validate reports the first field that is wrong by itself. Errors are *Failure. No message quotes the value of a variable.
func (r RunRequest) Validate() error {
	if r.V < 0 {
		return invalid("v", "%d is not a version", r.V)
	}
	if r.WorkspaceID == "" {
		return invalid("workspace_id", "missing: name the workspace to run in")
	}
	if other := r.Options.ExcludedByRefreshOnly(); other != "" {
		return invalid("options.refresh_only", "can't go together with %s", other)
	}
	if r.Options.SavePlan && (r.Options.PlanOnly || r.Options.AutoApply) {
		return invalid("options.save_plan", "can't go together with plan_only or auto_apply")
	}
	if i := slices.IndexFunc(r.Options.Variables, func(v RunVariable) bool { return v.Key == "" }); i >= 0 {
		return invalid(fmt.Sprintf("options.variables[%d].key", i), "missing")
	}
	return nil
}

// ExcludedByRefreshOnly names the option that makes no sense in a run that only refreshes, or "".
func (o RunOptions) ExcludedByRefreshOnly() string {
	switch {
	case o.RefreshOnly && o.Destroy:
		return "destroy"
	case o.RefreshOnly && o.SkipRefresh:
		return "skip_refresh"
	case o.RefreshOnly && len(o.ReplaceAddrs) > 0:
		return "replace_addrs"
	default:
		return ""
	}
}

func invalid(field, format string, args ...any) *Failure {
	return &Failure{Code: CodeInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}
