package api

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"gantry.example/internal/telemetry"
	"gantry.example/messages"
	"gantry.example/services/postgres"
	"gantry.example/services/run"
)

// tfeRunRoutes are TFE's calls about things that happen: runs, plans, applies.
func (s *Server) tfeRunRoutes() []route {
	return []route{
		{method: "POST", pattern: "/api/v2/runs", access: person, summary: "Create a run", in: tfeRunInput{}, out: tfeRun{},
			status: http.StatusCreated, create: true, point: "api.run_created", handle: s.createRun},
		{method: "GET", pattern: "/api/v2/runs/{run}", access: person, summary: "Show a run", out: tfeRun{}, query: []string{"include"}, handle: s.showRun},
		{method: "GET", pattern: "/api/v2/workspaces/{workspace}/runs", access: person, summary: "List a workspace's runs, newest first", out: []tfeRun{}, query: paging(append(runFilters(), "include")...), handle: s.listWorkspaceRuns},
		{method: "GET", pattern: "/api/v2/organizations/{organization}/runs", access: person, summary: "List an organization's runs, newest first", out: []tfeRun{}, query: paging(append(runFilters(), "include")...), handle: s.listOrganizationRuns},
		{method: "GET", pattern: "/api/v2/organizations/{organization}/runs/queue", access: person, summary: "List an organization's runs that are not over", out: []tfeRun{}, query: paging(), handle: s.listQueue},
		{method: "GET", pattern: "/api/v2/organizations/{organization}/capacity", access: person, summary: "Count an organization's waiting and executing runs", out: tfeCapacity{}, handle: s.showCapacity},

		{method: "POST", pattern: "/api/v2/runs/{run}/actions/apply", access: person, summary: "Approve a planned run", in: runAction{}, status: http.StatusAccepted,
			handle: s.act(func(comment string) run.Input { return run.Confirm{Comment: comment} })},
		{method: "POST", pattern: "/api/v2/runs/{run}/actions/discard", access: person, summary: "Drop a planned or pending run", in: runAction{}, status: http.StatusAccepted,
			handle: s.endRun(func(comment string) run.Input { return run.Discard{Comment: comment} })},
		{method: "POST", pattern: "/api/v2/runs/{run}/actions/cancel", access: person, summary: "Ask a run to stop", in: runAction{}, status: http.StatusAccepted,
			handle: s.endRun(func(comment string) run.Input { return run.Cancel{Comment: comment} })},
		{method: "POST", pattern: "/api/v2/runs/{run}/actions/force-cancel", access: person, summary: "Stop a canceled run without waiting for terraform", in: runAction{}, status: http.StatusAccepted,
			handle: s.forceCancel},
		{method: "POST", pattern: "/api/v2/runs/{run}/actions/force-execute", access: person, summary: "Discard or cancel whatever a pending run waits behind", in: runAction{}, status: http.StatusAccepted,
			handle: s.forceExecute},

		{method: "GET", pattern: "/api/v2/plans/{plan}", access: person, summary: "Show a plan", out: tfePlan{}, handle: s.showPlan},
		{method: "GET", pattern: "/api/v2/plans/{plan}/json-output", access: person, summary: "Download a plan as JSON, sensitive values included", out: []byte{}, media: kindJSON, handle: s.planJSON},
		{method: "GET", pattern: "/api/v2/applies/{apply}", access: person, summary: "Show an apply", out: tfeApply{}, handle: s.showApply},
	}
}

func (s *Server) createRun(r *request) (reply, error) {
	var in tfeRunInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	if in.Workspace == nil {
		return reply{}, invalid("relationship workspace: missing: name the workspace to run in")
	}
	if err := s.admitWorkspace(r, in.Workspace.ID, postgres.RolePlan); err != nil {
		return reply{}, err
	}
	create, err := in.newRun(r.source(sourceAPI))
	if err != nil {
		return reply{}, err
	}
	if in.AutoApply != nil && *in.AutoApply {
		if err := r.need(postgres.RoleWrite); err != nil {
			return reply{}, err
		}
	}
	// Whoever may only plan gets no apply from a workspace that approves by itself either.
	if !r.role.Covers(postgres.RoleWrite) {
		create.AutoApplyAsSet, create.Options.AutoApply = false, false
	}
	create.CreatedBy = r.token.Actor()
	create.Traceparent, create.TraceParentSpan = telemetry.NewRun(r.Header.Get(telemetry.Header), s.traces)
	created, err := s.db.CreateRun(r.Context(), create)
	if err != nil {
		return reply{}, err
	}
	ahead, err := s.db.Ahead(r.Context(), created)
	if err != nil {
		return reply{}, err
	}
	return object(runDocument(r, created, ahead, time.Now()))
}

// shownRun is the document of a run as it is now.
func (s *Server) shownRun(r *request, found run.Run) (*tfeRun, error) {
	ahead, err := s.db.Ahead(r.Context(), found)
	return runDocument(r, found, ahead, time.Now()), err
}

// showRun side-loads what "include" asks for as far as it is there. Other words are ignored: Terraform's CLI asks for things
// a platform need not have.
func (s *Server) showRun(r *request) (reply, error) {
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	doc, err := s.shownRun(r, found)
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	if err := s.sideRun(r, side, found); err != nil {
		return reply{}, err
	}
	return object(doc, side.docs...)
}

// sideRun loads what is asked for beside a run.
func (s *Server) sideRun(r *request, side *sideLoad, found run.Run) error {
	for _, one := range []struct {
		relation, id string
		load         func() (any, error)
	}{
		{"workspace", found.WorkspaceID, func() (any, error) {
			w, err := s.db.Workspace(r.Context(), found.WorkspaceID)
			if err != nil {
				return nil, err
			}
			return workspaceDocument(w, r.role)
		}},
		{"plan", found.ID, func() (any, error) { return s.planDocument(found), nil }},
		{"apply", found.ID, func() (any, error) { return s.applyDocument(found), nil }},
		{"configuration_version", found.ConfigurationVersionID, func() (any, error) {
			cv, err := s.db.ConfigurationVersion(r.Context(), found.ConfigurationVersionID)
			if err != nil {
				return nil, err
			}
			return s.configurationDocument(r, cv), nil
		}},
		{"created_by", found.CreatedBy, func() (any, error) { return namedUser(found.CreatedBy), nil }},
		{"confirmed_by", found.ConfirmedBy, func() (any, error) { return namedUser(found.ConfirmedBy), nil }},
	} {
		if err := side.add(one.relation, one.id, one.load); err != nil {
			return err
		}
	}
	return nil
}

// namedUser is somebody of whom only the name is known: a user, or what a token is called.
func namedUser(name string) *tfeUser {
	return &tfeUser{ID: name, Username: name, Permissions: map[string]bool{}}
}

// runAction is the optional body of an action.
type runAction struct {
	Comment string `json:"comment"`
}

// comment is what the body of an action says, which may be empty.
func (r *request) comment() (string, error) {
	var in runAction
	if len(r.body) == 0 {
		return "", nil
	}
	err := r.decode(&in)
	return in.Comment, err
}

func (s *Server) act(input func(comment string) run.Input) handler {
	return func(r *request) (reply, error) {
		comment, err := r.comment()
		if err == nil {
			_, err = s.db.Transition(r.Context(), r.PathValue("run"), input(comment), postgres.Cause{Actor: r.token.Actor()})
		}
		return reply{}, err
	}
}

// endRun is for actions that end a run: with the role plan one ends one's own, as long as it does not apply.
func (s *Server) endRun(input func(comment string) run.Input) handler {
	return func(r *request) (reply, error) {
		if !r.role.Covers(postgres.RoleWrite) {
			found, err := s.db.Run(r.Context(), r.PathValue("run"))
			if err != nil {
				return reply{}, err
			}
			if found.CreatedBy != r.token.Actor() || found.Apply != nil {
				return reply{}, r.need(postgres.RoleWrite)
			}
		}
		return s.act(input)(r)
	}
}

func (s *Server) forceCancel(r *request) (reply, error) {
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	if at := forceAvailableAt(found); at != nil && time.Now().Before(*at) {
		return reply{}, &postgres.Error{Code: messages.CodeRunNotAllowed, Message: "run " + found.ID +
			" can be force-canceled from " + at.Format(time.RFC3339) + " on: its cancel was only just asked for, and terraform needs time to save its state"}
	}
	return s.act(func(comment string) run.Input { return run.Cancel{Comment: comment, Force: true} })(r)
}

// forceExecute ends what is ahead of a pending run in its workspace, each as a person would: what asks for approval is discarded, the
// rest is asked to stop. The newest goes first, so that none of them begins because another one ended.
func (s *Server) forceExecute(r *request) (reply, error) {
	comment, err := r.comment()
	if err != nil {
		return reply{}, err
	}
	found, err := s.db.Run(r.Context(), r.PathValue("run"))
	if err != nil {
		return reply{}, err
	}
	if found.Status != run.Pending {
		return reply{}, &postgres.Error{Code: messages.CodeRunNotAllowed, Message: "run " + found.ID + " is " + string(found.Status) +
			" and can't be executed by force: only a pending run waits for others"}
	}
	ahead, err := s.ahead(r, found)
	if err != nil {
		return reply{}, err
	}
	for _, other := range ahead {
		if err := s.makeWay(r, other, cmp.Or(comment, "to execute run "+found.ID+" by force")); err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

// ahead lists what keeps a run from beginning, or would before its turn comes, newest first.
func (s *Server) ahead(r *request, of run.Run) ([]run.Run, error) {
	open := slices.DeleteFunc(run.Statuses(), run.Status.Final)
	var all []run.Run
	for page := (postgres.Page{Number: 1, Size: 100}); ; page.Number++ {
		some, total, err := s.db.Runs(r.Context(), postgres.RunFilter{WorkspaceID: of.WorkspaceID, Statuses: open, Page: page})
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if page.Number*page.Size >= total {
			return slices.DeleteFunc(all, func(r run.Run) bool { return r.Position >= of.Position || !r.Holds() }), nil
		}
	}
}

// makeWay ends a run so that another one can begin.
func (s *Server) makeWay(r *request, ahead run.Run, comment string) error {
	var end run.Input = run.Cancel{Comment: comment}
	if ahead.AsksApproval() {
		end = run.Discard{Comment: comment}
	}
	_, err := s.db.Transition(r.Context(), ahead.ID, end, postgres.Cause{Actor: r.token.Actor()})
	if err == nil {
		return nil
	}
	if now, again := s.db.Run(r.Context(), ahead.ID); again == nil && now.Status.Final() {
		return nil // it ended by itself
	}
	return err
}
