package api

import (
	"encoding/json"
	"strings"
	"time"

	"gantry.example/internal/wire"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// tfeRun is a run. Values of its variables are not shown: they may be secret. Code, Failure and CreatedBy are Gantry's own: why the run
// errored or was canceled, for programs and for people.
type tfeRun struct {
	ID                     string            `jsonapi:"primary,runs"`
	Status                 run.Status        `jsonapi:"attr,status"`
	StatusTimestamps       stamps            `jsonapi:"attr,status-timestamps"`
	CreatedAt              time.Time         `jsonapi:"attr,created-at,iso8601"`
	CanceledAt             *time.Time        `jsonapi:"attr,canceled-at,iso8601"`
	ForceCancelAvailableAt *time.Time        `jsonapi:"attr,force-cancel-available-at,iso8601"`
	HasChanges             bool              `jsonapi:"attr,has-changes"`
	AutoApply              bool              `jsonapi:"attr,auto-apply"`
	IsDestroy              bool              `jsonapi:"attr,is-destroy"`
	PlanOnly               bool              `jsonapi:"attr,plan-only"`
	Refresh                bool              `jsonapi:"attr,refresh"`
	RefreshOnly            bool              `jsonapi:"attr,refresh-only"`
	SavePlan               bool              `jsonapi:"attr,save-plan"`
	AllowEmptyApply        bool              `jsonapi:"attr,allow-empty-apply"`
	TargetAddrs            []string          `jsonapi:"attr,target-addrs"`
	ReplaceAddrs           []string          `jsonapi:"attr,replace-addrs"`
	Message                string            `jsonapi:"attr,message"`
	Source                 string            `jsonapi:"attr,source"`
	TriggerReason          string            `jsonapi:"attr,trigger-reason"`
	TerraformVersion       string            `jsonapi:"attr,terraform-version"`
	PositionInQueue        int               `jsonapi:"attr,position-in-queue"`
	Code                   messages.Code     `jsonapi:"attr,code"`
	Failure                string            `jsonapi:"attr,failure"`
	CreatedBy              string            `jsonapi:"attr,created-by"`
	Actions                map[string]bool   `jsonapi:"attr,actions"`
	Permissions            map[string]bool   `jsonapi:"attr,permissions"`
	Workspace              *workspaceRef     `jsonapi:"relation,workspace"`
	Configuration          *configurationRef `jsonapi:"relation,configuration-version"`
	Plan                   *planRef          `jsonapi:"relation,plan"`
	Apply                  *applyRef         `jsonapi:"relation,apply"`
	// Users are named by name: a run remembers no more of who made or confirmed it.
	Creator   *userRef `jsonapi:"relation,created-by"`
	Confirmer *userRef `jsonapi:"relation,confirmed-by"`
}

// tfeRunInput is what a run is created from. Nil means "not said".
type tfeRunInput struct {
	ID            string            `jsonapi:"primary,runs"`
	AutoApply     *bool             `jsonapi:"attr,auto-apply"`
	IsDestroy     bool              `jsonapi:"attr,is-destroy"`
	PlanOnly      bool              `jsonapi:"attr,plan-only"`
	Refresh       *bool             `jsonapi:"attr,refresh"`
	RefreshOnly   bool              `jsonapi:"attr,refresh-only"`
	SavePlan      bool              `jsonapi:"attr,save-plan"`
	TargetAddrs   []string          `jsonapi:"attr,target-addrs"`
	ReplaceAddrs  []string          `jsonapi:"attr,replace-addrs"`
	Version       string            `jsonapi:"attr,terraform-version"` // of a plan-only run
	Variables     any               `jsonapi:"attr,variables"`         // a list of wire.RunVariable
	Message       string            `jsonapi:"attr,message"`
	Workspace     *workspaceRef     `jsonapi:"relation,workspace"`
	Configuration *configurationRef `jsonapi:"relation,configuration-version"`
}

// source is the program that creates a run, in TFE's words where it has some; other is for programs that are not known.
func (r *request) source(other string) string {
	agent := r.UserAgent()
	switch {
	case agent == "gantry":
		return "gantry-cli"
	case r.Header.Get("X-Terraform-Integration") == "cloud": // of the cloud block
		return "terraform+cloud"
	case strings.HasPrefix(agent, "HashiCorp Terraform/"), strings.HasPrefix(agent, "Terraform/"), strings.HasPrefix(agent, "OpenTofu/"):
		return "terraform"
	default:
		return other
	}
}

func (in tfeRunInput) newRun(source string) (postgres.NewRun, error) {
	out := postgres.NewRun{
		WorkspaceID: in.Workspace.ID, AutoApplyAsSet: in.AutoApply == nil, Message: in.Message, Source: source,
		Options: run.Options{
			PlanOnly: in.PlanOnly, Destroy: in.IsDestroy, RefreshOnly: in.RefreshOnly,
			SkipRefresh: in.Refresh != nil && !*in.Refresh, TargetAddrs: in.TargetAddrs, ReplaceAddrs: in.ReplaceAddrs,
		},
	}
	if in.AutoApply != nil {
		out.Options.AutoApply = *in.AutoApply
	}
	if in.Configuration != nil {
		out.ConfigurationVersionID = in.Configuration.ID
	}
	if in.SavePlan {
		if in.AutoApply != nil && *in.AutoApply {
			return out, invalid("field save-plan: can't go together with auto-apply")
		}
		out.Options.SavePlan, out.AutoApplyAsSet = true, false
	}
	o := messages.RunOptions{RefreshOnly: in.RefreshOnly, Destroy: in.IsDestroy, SkipRefresh: out.Options.SkipRefresh, ReplaceAddrs: in.ReplaceAddrs}
	if other := o.ExcludedByRefreshOnly(); other != "" {
		words := map[string]string{"destroy": "is-destroy", "skip_refresh": "refresh false", "replace_addrs": "replace-addrs"}
		return out, invalid("field refresh-only: can't go together with %s", words[other])
	}
	var err error
	if out.Execution.TerraformVersion, err = wantedVersion(in.Version); err != nil {
		return out, err
	}
	if in.Version != "" && !in.PlanOnly {
		return out, invalid("field terraform-version: goes together with plan-only only: what is applied is applied with the workspace's version")
	}
	out.Variables, err = runVariables(in.Variables)
	return out, err
}

// runVariables reads the variables given with a run. The error never quotes a value: it may be secret.
func runVariables(given any) ([]wire.RunVariable, error) {
	raw, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	var out []wire.RunVariable
	if json.Unmarshal(raw, &out) != nil {
		return nil, invalid(`field variables: want a list of {"key": string, "value": string}, where value is an HCL expression`)
	}
	return out, postgres.CheckRunVariables("variables", out)
}

// forceCoolOff is how long terraform gets after a cancel before a person may force it.
const forceCoolOff = 10 * time.Second

// forceAvailableAt is when the run can be force-canceled, or nil when it can't be.
func forceAvailableAt(r run.Run) *time.Time {
	if r.CancelAt == nil || r.Status.Final() || r.ForceRequested {
		return nil
	}
	at := r.CancelAt.Add(forceCoolOff).UTC().Truncate(time.Second) // as it is shown
	return &at
}

// runDocument shows a run to the caller at a time, behind ahead other runs of its workspace.
func runDocument(by *request, r run.Run, ahead int, now time.Time) *tfeRun {
	o, force := r.Options, forceAvailableAt(r)
	doc := &tfeRun{
		ID: r.ID, Status: r.Status, StatusTimestamps: runStamps(r), CreatedAt: r.CreatedAt, ForceCancelAvailableAt: force,
		HasChanges: r.HasChanges, AutoApply: o.AutoApply, IsDestroy: o.Destroy, PlanOnly: o.PlanOnly, Refresh: !o.SkipRefresh,
		RefreshOnly: o.RefreshOnly, SavePlan: o.SavePlan, TargetAddrs: o.TargetAddrs, ReplaceAddrs: o.ReplaceAddrs, Message: r.Note, Source: r.Source,
		TriggerReason: "manual", TerraformVersion: r.Execution.TerraformVersion, PositionInQueue: ahead, Code: r.Code, Failure: r.Failure,
		Actions: map[string]bool{
			"is-cancelable":       isCancelable(r),
			"is-confirmable":      r.AsksApproval(),
			"is-discardable":      r.AsksApproval() || r.Status == run.Pending,
			"is-force-cancelable": force != nil && !now.Before(*force),
		},
		Permissions: runPermissions(by.role, r.CreatedBy == by.token.Actor() && r.Apply == nil), CreatedBy: r.CreatedBy,
		Workspace: &workspaceRef{r.WorkspaceID}, Configuration: &configurationRef{r.ConfigurationVersionID},
		Plan: &planRef{planID(r.ID)}, Apply: &applyRef{applyID(r.ID)},
	}
	if r.CreatedBy != "" {
		doc.Creator = &userRef{r.CreatedBy}
	}
	if r.ConfirmedBy != "" {
		doc.Confirmer = &userRef{r.ConfirmedBy}
	}
	for _, s := range []run.Status{run.Canceled, run.ForceCanceled} {
		if at, ok := r.Timestamps[s]; ok {
			doc.CanceledAt = &at
		}
	}
	return doc
}

func isCancelable(r run.Run) bool {
	return !r.Status.Final() && !r.AsksApproval() && !r.CancelRequested
}

// runStamps are the times a run entered its statuses, under TFE's names.
func runStamps(r run.Run) stamps {
	out := stamps{}
	for status, names := range map[run.Status][]string{
		run.PlanQueued:         {"plan-queueable-at", "plan-queued-at"},
		run.Planning:           {"planning-at"},
		run.Planned:            {"planned-at"},
		run.PlannedAndFinished: {"planned-and-finished-at"},
		run.PlannedAndSaved:    {"planned-and-saved-at"},
		run.Confirmed:          {"confirmed-at"},
		run.ApplyQueued:        {"confirmed-at", "apply-queued-at"}, // but for a saved plan, a confirmed apply is queued at once
		run.Applying:           {"applying-at"},
		run.Applied:            {"applied-at"},
		run.Discarded:          {"discarded-at"},
		run.Errored:            {"errored-at"},
		run.Canceled:           {"canceled-at"},
		run.ForceCanceled:      {"force-canceled-at"},
	} {
		for _, name := range names {
			at := r.Timestamps[status]
			out.set(name, &at)
		}
	}
	return out
}
