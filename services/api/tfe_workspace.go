package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/jsonapi"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// tfeWorkspace is a workspace.
type tfeWorkspace struct {
	ID                  string           `jsonapi:"primary,workspaces"`
	Name                string           `jsonapi:"attr,name"`
	Description         string           `jsonapi:"attr,description"`
	AutoApply           bool             `jsonapi:"attr,auto-apply"`
	Locked              bool             `jsonapi:"attr,locked"`
	LockedReason        string           `jsonapi:"attr,locked-reason"`
	Operations          bool             `jsonapi:"attr,operations"`
	ExecutionMode       string           `jsonapi:"attr,execution-mode"`
	TerraformVersion    string           `jsonapi:"attr,terraform-version"`
	WorkingDirectory    string           `jsonapi:"attr,working-directory"`
	StructuredRunOutput bool             `jsonapi:"attr,structured-run-output-enabled"`
	CanQueueDestroyPlan bool             `jsonapi:"attr,can-queue-destroy-plan"`
	Source              string           `jsonapi:"attr,source"`
	TagNames            []string         `jsonapi:"attr,tag-names"`
	CreatedAt           time.Time        `jsonapi:"attr,created-at,iso8601"`
	UpdatedAt           time.Time        `jsonapi:"attr,updated-at,iso8601"`
	Permissions         map[string]bool  `jsonapi:"attr,permissions"`
	Actions             map[string]bool  `jsonapi:"attr,actions"`
	Organization        *organizationRef `jsonapi:"relation,organization"`
	AgentPoolID         *string          `jsonapi:"attr,agent-pool-id"`
	AgentPool           *agentPoolRef    `jsonapi:"relation,agent-pool"`
	CurrentRun          *runRef          `jsonapi:"relation,current-run"`
	CurrentState        *stateRef        `jsonapi:"relation,current-state-version"`
	Variables           []*variableRef   `jsonapi:"relation,vars"`
	Project             *projectRef      `jsonapi:"relation,project"`
	LockedBy            *lockHolder      `jsonapi:"polyrelation,locked-by"`
	SettingOverwrites   map[string]bool  `jsonapi:"attr,setting-overwrites"`

	TagBindings   []*tagBindingRef   `jsonapi:"relation,tag-bindings"`
	EffectiveTags []*effectiveTagRef `jsonapi:"relation,effective-tag-bindings"`
	Outputs       []*outputRef       `jsonapi:"relation,outputs,omitempty"` // where they are asked for
	more
}

// JSONAPILinks says where the workspace is: for programs, and for people.
func (doc *tfeWorkspace) JSONAPILinks() *jsonapi.Links {
	return &jsonapi.Links{"self": "/api/v2/organizations/" + doc.Organization.ID + "/workspaces/" + doc.Name, "self-html": "/app/" + doc.Organization.ID + "/workspaces/" + doc.Name}
}

type tagBindingRef struct {
	ID string `jsonapi:"primary,tag-bindings"`
}

type outputRef struct {
	ID string `jsonapi:"primary,workspace-outputs"`
}

// lockHolder is one of those who can have a workspace locked. A user is named by name.
type lockHolder struct {
	Run  *runRef
	User *userRef
}

// tfeWorkspaceInput is what of a workspace can be set. Nil means "not said".
type tfeWorkspaceInput struct {
	ID               string  `jsonapi:"primary,workspaces"`
	Name             *string `jsonapi:"attr,name"`
	Description      *string `jsonapi:"attr,description"`
	AutoApply        *bool   `jsonapi:"attr,auto-apply"`
	ExecutionMode    *string `jsonapi:"attr,execution-mode"`
	Operations       *bool   `jsonapi:"attr,operations"` // TFE's older word: false is execution mode "local"
	AgentPoolID      *string `jsonapi:"attr,agent-pool-id"`
	TerraformVersion *string `jsonapi:"attr,terraform-version"`
	WorkingDirectory *string `jsonapi:"attr,working-directory"`
	// SettingOverwrites says by false that the workspace gives up its own execution-mode or agent-pool for the default.
	SettingOverwrites *settingOverwrites `jsonapi:"attr,setting-overwrites"`
	Project           *projectRef        `jsonapi:"relation,project"`
}

// versionLatest is TFE's word for "any version": Terraform's CLI then does not compare it with its own.
const versionLatest = "latest"

func workspaceDocument(w postgres.Workspace, role postgres.Role) (*tfeWorkspace, error) {
	target, err := w.Target()
	if err != nil {
		return nil, err
	}
	tags, err := w.Tags()
	if err != nil {
		return nil, err
	}
	doc := &tfeWorkspace{
		ID: w.ID, Name: w.Name, Description: w.Description, AutoApply: w.AutoApply, Locked: w.Locked || w.GateRunID != nil,
		Operations: !w.RunsElsewhere, ExecutionMode: workspaceMode(w, target.Mode), TerraformVersion: target.TerraformVersion,
		WorkingDirectory: target.Folder(), TagNames: slices.AppendSeq([]string{}, maps.Keys(tags)), Source: sourceAPI, Project: &projectRef{w.ProjectID},
		CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, Organization: &organizationRef{w.OrganizationName},
		Permissions: workspacePermissions(role),
		Actions:     map[string]bool{"is-destroyable": w.GateRunID == nil},
	}
	if doc.SettingOverwrites, err = overwrites(w); err != nil {
		return nil, err
	}
	if doc.attributes, err = keptShown(workspaceKept, w.Kept); err != nil {
		return nil, err
	}
	doc.CanQueueDestroyPlan, _ = doc.attributes["allow-destroy-plan"].(bool)
	if err := doc.relateTags(w); err != nil {
		return nil, err
	}
	slices.Sort(doc.TagNames)
	if doc.TerraformVersion == "" {
		doc.TerraformVersion = versionLatest
	}
	for _, id := range w.VariableIDs {
		doc.Variables = append(doc.Variables, &variableRef{id})
	}
	if id := string(target.AgentPool); id != "" {
		doc.AgentPoolID, doc.AgentPool = &id, &agentPoolRef{id}
	}
	if w.StateID != nil {
		doc.CurrentState = &stateRef{*w.StateID}
	}
	switch {
	case w.GateRunID != nil:
		doc.CurrentRun = &runRef{*w.GateRunID}
	case w.NextRunID != nil: // by a current run that is pending, Terraform's CLI knows that somebody locked the workspace
		doc.CurrentRun = &runRef{*w.NextRunID}
	case w.LastRunID != nil:
		doc.CurrentRun = &runRef{*w.LastRunID}
	}
	switch {
	case w.Locked:
		doc.LockedBy = &lockHolder{User: &userRef{w.LockedBy}}
	case w.GateRunID != nil:
		doc.LockedBy = &lockHolder{Run: &runRef{*w.GateRunID}}
	}
	doc.LockedReason = lockedReason(w)
	return doc, nil
}

func lockedReason(w postgres.Workspace) string {
	switch {
	case w.Locked && w.LockReason == "":
		return fmt.Sprintf("Locked by %s.", w.LockedBy)
	case w.Locked:
		return fmt.Sprintf("Locked by %s: %s", w.LockedBy, w.LockReason)
	case w.OutcomeUnknown:
		return fmt.Sprintf("The outcome of run %s is unknown: compare the last saved state with reality, then force-unlock the workspace.", *w.GateRunID)
	case w.GateRunID != nil:
		return fmt.Sprintf("Run %s is ahead: it goes on, or waits for somebody to apply or discard it.", *w.GateRunID)
	default:
		return ""
	}
}

func (s *Server) answerWorkspace(r *request, w postgres.Workspace) (reply, error) {
	doc, err := workspaceDocument(w, r.role)
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	if err := s.sideWorkspace(r, side, w); err != nil {
		return reply{}, err
	}
	for _, with := range side.docs {
		if o, ok := with.(*tfeWorkspaceOutput); ok {
			doc.Outputs = append(doc.Outputs, &outputRef{o.ID})
		}
	}
	if doc.attributes["workspace-kpis-runs-count"], err = s.db.CountRuns(r.Context(), postgres.RunFilter{WorkspaceID: w.ID}); err != nil {
		return reply{}, err
	}
	return object(doc, side.docs...)
}

// workspace finds the workspace the path names: by id, or by name within an organization.
func (s *Server) workspace(r *request) (postgres.Workspace, error) {
	if id := r.PathValue("workspace"); id != "" {
		return s.db.Workspace(r.Context(), id)
	}
	return s.db.WorkspaceByName(r.Context(), r.PathValue("organization"), r.PathValue("name"))
}

func (s *Server) listWorkspaces(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.FindWorkspaces(r.Context(), r.PathValue("organization"), workspaceFilter(r.URL.Query()), p)
	if err != nil {
		return reply{}, err
	}
	out, side := make([]*tfeWorkspace, len(all)), r.include()
	for i, w := range all {
		if out[i], err = workspaceDocument(w, r.role); err != nil {
			return reply{}, err
		}
		if err := s.sideWorkspace(r, side, w); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total, side.docs...)
}

func (s *Server) showWorkspace(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	return s.answerWorkspace(r, w)
}

func (s *Server) createWorkspace(r *request) (reply, error) {
	var in tfeWorkspaceInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	create := postgres.NewWorkspace{Organization: o.ID}
	if in.Project != nil {
		create.Project = in.Project.ID
	}
	if create.Kept, err = r.keep(workspaceKept()); err != nil {
		return reply{}, err
	}
	if in.Name != nil {
		create.Name = *in.Name
	}
	if in.Description != nil {
		create.Description = *in.Description
	}
	if in.AutoApply != nil {
		create.AutoApply = *in.AutoApply
	}
	if err := in.mayPlace(r, o.Execution, nil); err != nil {
		return reply{}, err
	}
	if elsewhere := in.elsewhere(); elsewhere != nil {
		create.RunsElsewhere = *elsewhere
	}
	if tags, err := r.tagRelations(); err != nil {
		return reply{}, err
	} else if tags != nil {
		create.Tags = tags.Set
	}
	own, err := in.execution([]byte("{}"), o.Execution)
	if err != nil {
		return reply{}, err
	}
	create.Execution = own
	// A workspace that tofu makes is tofu's. Both engines send the same body; only the name they give themselves differs.
	if strings.HasPrefix(r.UserAgent(), "OpenTofu/") {
		create.Execution.Engine = messages.EngineOpenTofu
	}
	w, err := s.db.CreateWorkspace(r.Context(), create)
	if err != nil {
		return reply{}, err
	}
	return s.answerWorkspace(r, w)
}

func (s *Server) updateWorkspace(r *request) (reply, error) {
	var in tfeWorkspaceInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	if err := in.mayPlace(r, w.Defaults, w.Execution); err != nil {
		return reply{}, err
	}
	change := postgres.WorkspaceChange{Name: in.Name, Description: in.Description, AutoApply: in.AutoApply, RunsElsewhere: in.elsewhere()}
	if in.Project != nil {
		change.Project = &in.Project.ID
	}
	if change.Kept, err = r.keep(workspaceKept()); err != nil {
		return reply{}, err
	}
	if change.Tags, err = r.tagRelations(); err != nil {
		return reply{}, err
	}
	if in.ExecutionMode != nil || in.SettingOverwrites != nil || in.AgentPoolID != nil || in.TerraformVersion != nil || in.WorkingDirectory != nil {
		change.Revise = func(w postgres.Workspace) (messages.Execution, error) { return in.execution(w.Execution, w.Defaults) }
	}
	if w, err = s.db.UpdateWorkspace(r.Context(), w.ID, change); err != nil {
		return reply{}, err
	}
	return s.answerWorkspace(r, w)
}

// mayPlace refuses callers who are no admins to move a workspace to where something else may be at stake. The mode that is
// shown already moves nothing.
func (in tfeWorkspaceInput) mayPlace(r *request, defaults, own []byte) error {
	if own == nil {
		own = []byte("{}")
	}
	target, err := postgres.Workspace{Execution: own, Defaults: defaults}.Target()
	if err != nil {
		return err
	}
	if in.AgentPoolID != nil || in.SettingOverwrites != nil || in.ExecutionMode != nil && *in.ExecutionMode != shownMode(target.Mode) && *in.ExecutionMode != modeElsewhere {
		return r.need(postgres.RoleAdmin)
	}
	return nil
}

// modeElsewhere is TFE's execution mode "local": the user's own machine runs terraform. It is none of Gantry's modes but a
// flag beside the execution document, which stays as it is.
const modeElsewhere = "local"

// workspaceMode is the workspace's execution mode in TFE's words.
func workspaceMode(w postgres.Workspace, m messages.Mode) string {
	if w.RunsElsewhere {
		return modeElsewhere
	}
	return shownMode(m)
}

// elsewhere is what the input says about where runs are, or nil.
func (in tfeWorkspaceInput) elsewhere() *bool {
	var out bool
	switch {
	case in.ExecutionMode != nil:
		out = *in.ExecutionMode == modeElsewhere
	case in.Operations != nil:
		out = !*in.Operations
	case in.SettingOverwrites != nil && is(in.SettingOverwrites.ExecutionMode, false): // the default is none of users' machines
	default:
		return nil
	}
	return &out
}

// execution writes TFE's attributes into the workspace's own execution document. defaults is the organization's.
func (in tfeWorkspaceInput) execution(own, defaults []byte) (messages.Execution, error) {
	var e messages.Execution
	if err := json.Unmarshal(own, &e); err != nil {
		return e, err
	}
	target, err := postgres.Workspace{Execution: own, Defaults: defaults}.Target()
	if err != nil {
		return e, err
	}
	if in.ExecutionMode != nil && *in.ExecutionMode != modeElsewhere {
		if e, err = switchMode(e, target.Mode, *in.ExecutionMode); err != nil {
			return e, err
		}
	}
	if in.AgentPoolID != nil {
		e.AgentPool = messages.Ref(*in.AgentPoolID)
	}
	if o := in.SettingOverwrites; o != nil && is(o.ExecutionMode, false) {
		e = e.Common()
	} else if o != nil && is(o.AgentPool, false) {
		e.AgentPool = ""
	}
	if in.TerraformVersion != nil {
		if e.TerraformVersion, err = wantedVersion(*in.TerraformVersion); err != nil {
			return e, err
		}
	}
	if in.WorkingDirectory != nil {
		folder, err := wantedFolder(*in.WorkingDirectory)
		if err != nil {
			return e, err
		}
		if folder != target.Folder() { // what is shown already changes nothing: an absolute folder is not shown
			e.Workdir = folder
		}
	}
	return e, nil
}

// switchMode changes the mode of e, which is now executed in mode now, to what TFE's word names. The word that is shown
// already changes nothing, so that a client which writes back what it read does not move a workspace out of Kubernetes.
func switchMode(e messages.Execution, now messages.Mode, word string) (messages.Execution, error) {
	common := e.Common()
	switch {
	case word == shownMode(now):
		return e, nil
	case word == "remote":
		common.Mode = messages.ModeLocal
	case word == "agent":
		common.Mode = messages.ModeAgent
	default:
		return e, invalid("field execution-mode: %q is not one of remote, agent, local", word)
	}
	return common, nil
}

// wantedVersion is the version to store. Development builds and "latest" name none: what is installed is used.
func wantedVersion(v string) (string, error) {
	if v == "" || v == versionLatest || strings.HasSuffix(v, "-dev") {
		return "", nil
	}
	if _, err := version.NewConstraint(v); err != nil {
		return "", invalid("field terraform-version: %q is neither a version, such as 1.11.4, nor a constraint, such as ~> 1.11", v)
	}
	return v, nil
}

// wantedFolder is the folder to store. TFE's users write "/modules/x/" as well, and mean the same.
func wantedFolder(dir string) (string, error) {
	dir = path.Clean(strings.TrimLeft(dir, "/"))
	if dir == ".." || strings.HasPrefix(dir, "../") {
		return "", invalid("field working-directory: %q is not inside the configuration", dir)
	}
	if dir == "." {
		return "", nil
	}
	return dir, nil
}
