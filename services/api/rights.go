package api

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// right is what a call of a person needs.
type right struct {
	role  postgres.Role // where the call's object is: in its workspace, or else in its organization
	where scope
}

// scope says where a call names its object.
type scope int

const (
	inPath   scope = iota // the first parameter of the path that pathThing knows
	inBody                // the workspace in the body: its handler calls admitWorkspace
	inQuery               // the organization in the query
	inFilter              // the workspace in the query: filterWorkspaceID
	ofCall                // nowhere: the handler shows and changes only what is the caller's
	ofSite                // nowhere: the call is for site admins
)

// rights is the whole of who may do what: one row per call of a person, by method and pattern. A call without a row is
// refused to everybody. What a row cannot say, because it depends on more than the call, is beside the handler that asks for
// it by request.need.
func rights() table {
	all := table{}
	for _, part := range []table{peopleRights(), workspaceRights(), runRights()} {
		maps.Copy(all, part)
	}
	return all
}

// peopleRights are those to users, tokens, memberships, pools and what only site admins do.
func peopleRights() table {
	read, admin, own, site := right{role: postgres.RoleRead}, right{role: postgres.RoleAdmin}, right{where: ofCall}, right{where: ofSite}
	const v2, gantry = " /api/v2", " /api/gantry/v1"
	const org, agents = v2 + "/organizations/{organization}", v2 + "/agent-pools/{pool}"
	const team = v2 + "/teams/{team}"
	const configs, config = gantry + "/organizations/{organization}/k8s-configs", gantry + "/k8s-configs/{k8s}"
	return table{
		"GET" + v2 + "/account/details": own, "PATCH" + v2 + "/account/update": own, "PATCH" + v2 + "/account/password": own,
		"GET" + v2 + "/users/{user}":                        own,
		"GET" + v2 + "/users/{user}/authentication-tokens":  own,
		"POST" + v2 + "/users/{user}/authentication-tokens": own,
		"GET" + v2 + "/authentication-tokens/{token}":       own, "DELETE" + v2 + "/authentication-tokens/{token}": own,
		"GET" + gantry + "/tokens": own, "POST" + gantry + "/tokens": own, "DELETE" + gantry + "/tokens/{token}": own,

		"GET" + gantry + "/dead-letters": site, "GET" + gantry + "/dead-letters/{letter}": site,
		"POST" + gantry + "/dead-letters/{letter}/replay": site, "DELETE" + gantry + "/dead-letters/{letter}": site,

		"GET" + gantry + "/users": site, "POST" + gantry + "/users": site, "GET" + gantry + "/users/{user}": own,
		"PATCH" + gantry + "/users/{user}": site, "DELETE" + gantry + "/users/{user}": site,
		"PUT" + gantry + "/users/{user}/password": own,

		"GET" + gantry + "/organizations/{organization}/members":           read,
		"PUT" + gantry + "/organizations/{organization}/members/{user}":    admin,
		"DELETE" + gantry + "/organizations/{organization}/members/{user}": admin,
		"GET" + org + "/organization-memberships":                          read, "POST" + org + "/organization-memberships": admin,
		"GET" + v2 + "/organization-memberships":              own,
		"GET" + v2 + "/organization-memberships/{membership}": read, "PATCH" + v2 + "/organization-memberships/{membership}": admin,
		"DELETE" + v2 + "/organization-memberships/{membership}": admin,
		"GET" + org + "/authentication-token":                    admin, "POST" + org + "/authentication-token": admin, "DELETE" + org + "/authentication-token": admin,

		"GET" + org + "/teams": read, "POST" + org + "/teams": admin, "GET" + team: read, "PATCH" + team: admin, "DELETE" + team: admin,
		"POST" + team + "/relationships/users": admin, "DELETE" + team + "/relationships/users": admin,
		"POST" + team + "/relationships/organization-memberships": admin, "DELETE" + team + "/relationships/organization-memberships": admin,
		"GET" + org + "/team-tokens": admin, "GET" + team + "/authentication-token": admin, "POST" + team + "/authentication-token": admin,
		"DELETE" + team + "/authentication-token": admin, "POST" + team + "/authentication-tokens": admin,

		"GET" + gantry + "/backup": site,

		"GET" + org + "/agent-pools": read, "POST" + org + "/agent-pools": admin,
		"GET" + agents: read, "PATCH" + agents: admin, "DELETE" + agents: admin, "GET" + agents + "/agents": read,
		"GET" + agents + "/authentication-tokens": admin, "POST" + agents + "/authentication-tokens": admin,
		"GET" + v2 + "/agents/{agent}": read, "DELETE" + v2 + "/agents/{agent}": admin, "POST" + gantry + "/agents/{agent}/drain": admin,

		"GET" + configs: read, "POST" + configs: admin, "GET" + config: read, "PATCH" + config: admin, "DELETE" + config: admin,
		"POST" + config + "/check": admin, "GET" + config + "/render": read,
		"GET" + config + "/tokens": admin, "POST" + config + "/tokens": admin, "DELETE" + config + "/tokens/{dispatcher}": admin,
	}
}

// workspaceRights are those to organizations, workspaces and variables.
func workspaceRights() table {
	read, write, admin, own, site := right{role: postgres.RoleRead}, right{role: postgres.RoleWrite}, right{role: postgres.RoleAdmin}, right{where: ofCall}, right{where: ofSite}
	const v2, gantry = " /api/v2", " /api/gantry/v1"
	const project, consumers, told = v2 + "/projects/{project}", v2 + "/workspaces/{workspace}/relationships/remote-state-consumers", v2 + "/notification-configurations/{notification}"
	const access = v2 + "/team-workspaces/{access}"
	const org, ws, named, set = v2 + "/organizations/{organization}", v2 + "/workspaces/{workspace}", v2 + "/organizations/{organization}/workspaces/{name}", v2 + "/varsets/{varset}"
	return table{
		"GET" + v2 + "/organizations": own, "POST" + v2 + "/organizations": site,
		"GET" + org: read, "PATCH" + org: admin, "DELETE" + org: site, "GET" + org + "/entitlement-set": read, "GET" + org + "/capacity": read,
		"GET" + org + "/runs": read, "GET" + org + "/runs/queue": read, "GET" + gantry + "/organizations/{organization}/events": read,
		"GET" + gantry + "/events": {postgres.RoleRead, inQuery},

		"GET" + org + "/workspaces": read, "POST" + org + "/workspaces": write,
		"GET" + named: read, "PATCH" + named: write, "DELETE" + named: admin, "POST" + named + "/actions/safe-delete": admin,
		"GET" + ws: read, "PATCH" + ws: write, "DELETE" + ws: admin, "POST" + ws + "/actions/safe-delete": admin,
		"POST" + ws + "/actions/lock": write, "POST" + ws + "/actions/unlock": write, "POST" + ws + "/actions/force-unlock": admin,
		"GET" + ws + "/tag-bindings": read, "PATCH" + ws + "/tag-bindings": write, "GET" + ws + "/effective-tag-bindings": read,
		"GET" + ws + "/relationships/tags": read, "POST" + ws + "/relationships/tags": write, "DELETE" + ws + "/relationships/tags": write,
		"GET" + ws + "/run-triggers": read, "POST" + ws + "/run-triggers": write, "GET" + v2 + "/run-triggers/{trigger}": read, "DELETE" + v2 + "/run-triggers/{trigger}": write,
		"GET" + ws + "/notification-configurations": write, "POST" + ws + "/notification-configurations": write,
		"GET" + told: write, "PATCH" + told: write, "DELETE" + told: write, "POST" + told + "/actions/verify": write,
		"GET" + v2 + "/team-workspaces": {postgres.RoleRead, inFilter}, "POST" + v2 + "/team-workspaces": {postgres.RoleAdmin, inBody},
		"GET" + access: read, "PATCH" + access: admin, "DELETE" + access: admin,
		"GET" + consumers: read, "POST" + consumers: write, "PATCH" + consumers: write, "DELETE" + consumers: write,
		"GET" + project + "/varsets": read, "POST" + set + "/relationships/projects": write, "DELETE" + set + "/relationships/projects": write,
		"GET" + org + "/projects": read, "POST" + org + "/projects": admin,
		"GET" + project: read, "PATCH" + project: admin, "DELETE" + project: admin,
		"GET" + project + "/tag-bindings": read, "PATCH" + project + "/tag-bindings": admin, "GET" + project + "/effective-tag-bindings": read,
		"GET" + gantry + "/workspaces/{workspace}/execution": read, "PUT" + gantry + "/workspaces/{workspace}/execution": admin,
		"GET" + gantry + "/organizations/{organization}/execution": read, "PUT" + gantry + "/organizations/{organization}/execution": admin,

		"GET" + ws + "/vars": read, "GET" + ws + "/all-vars": read, "GET" + ws + "/vars/{variable}": read, "GET" + ws + "/varsets": read,
		"POST" + ws + "/vars": write, "PATCH" + ws + "/vars/{variable}": write, "DELETE" + ws + "/vars/{variable}": write,
		"GET" + v2 + "/vars": {postgres.RoleRead, inQuery}, "POST" + v2 + "/vars": {postgres.RoleWrite, inBody},
		"PATCH" + v2 + "/vars/{variable}": write, "DELETE" + v2 + "/vars/{variable}": write,
		"GET" + org + "/varsets": read, "POST" + org + "/varsets": write, "GET" + set: read, "PATCH" + set: write, "DELETE" + set: write,
		"POST" + set + "/relationships/workspaces": write, "DELETE" + set + "/relationships/workspaces": write,
		"GET" + set + "/relationships/vars": read, "GET" + set + "/relationships/vars/{variable}": read, "POST" + set + "/relationships/vars": write,
		"PATCH" + set + "/relationships/vars/{variable}": write, "DELETE" + set + "/relationships/vars/{variable}": write,
	}
}

// runRights are those to runs and states.
func runRights() table {
	read, plan, write, admin, body := right{role: postgres.RoleRead}, right{role: postgres.RolePlan}, right{role: postgres.RoleWrite}, right{role: postgres.RoleAdmin}, right{postgres.RolePlan, inBody}
	const v2, gantry = " /api/v2", " /api/gantry/v1"
	const ws = v2 + "/workspaces/{workspace}"
	return table{
		"GET" + ws + "/configuration-versions": read, "GET" + v2 + "/configuration-versions/{configuration}/download": plan,
		"GET" + v2 + "/runs/{run}/comments": read, "POST" + v2 + "/runs/{run}/comments": plan, "GET" + v2 + "/comments/{comment}": read,
		"GET" + v2 + "/run-events/{event}":      read,
		"POST" + ws + "/configuration-versions": plan, "GET" + v2 + "/configuration-versions/{configuration}": read,
		"POST" + v2 + "/runs": body, "POST" + gantry + "/runs": body,
		"GET" + ws + "/runs": read, "GET" + v2 + "/runs/{run}": read, "GET" + v2 + "/runs/{run}/run-events": read,
		"GET" + gantry + "/runs/{run}": read, "GET" + gantry + "/runs/{run}/events": read, "GET" + gantry + "/runs/{run}/waiting": read,
		"POST" + gantry + "/runs/{run}/recover": write, "POST" + gantry + "/state-versions/{state}/promote": write,
		"POST" + v2 + "/runs/{run}/actions/apply": write, "POST" + v2 + "/runs/{run}/actions/discard": plan,
		"POST" + v2 + "/runs/{run}/actions/cancel": plan, "POST" + v2 + "/runs/{run}/actions/force-cancel": admin,
		"POST" + v2 + "/runs/{run}/actions/force-execute": admin,
		"GET" + v2 + "/plans/{plan}":                      read, "GET" + v2 + "/plans/{plan}/json-output": write, "GET" + v2 + "/applies/{apply}": read,

		"GET" + ws + "/resources": read, "GET" + ws + "/current-state-version": read, "GET" + ws + "/current-state-version-outputs": read,
		"GET" + v2 + "/state-versions": {postgres.RoleRead, inQuery}, "GET" + v2 + "/state-versions/{state}": read,
		"GET" + v2 + "/state-versions/{state}/download": read, "GET" + v2 + "/state-versions/{state}/outputs": read,
		"GET" + v2 + "/state-version-outputs/{output}": read,
		"GET" + ws + "/state-versions":                 read, "POST" + ws + "/state-versions": write, "PATCH" + ws + "/state-versions": write,
	}
}

// table is the rights by method and pattern.
type table map[string]right

// needs describes the row of a route, empty where there is none.
func (t table) needs(rt route) string {
	need, known := t[rt.method+" "+rt.pattern]
	switch {
	case !known || rt.access != person:
		return ""
	case need.where == ofSite:
		return "site"
	case need.where == ofCall:
		return "own"
	default:
		return string(need.role)
	}
}

// thing is what belongs to an organization, as package postgres names it.
type thing struct{ what, id string }

// pathThing finds the object that the path names. A plan's and an apply's id is made of their run's, an output's of its
// state version's.
func pathThing(param func(string) string) (shown, found thing, ok bool) {
	for _, what := range []string{"organization", "workspace", "run", "configuration", "state", "membership", "access", "team", "plan", "apply", "output", "comment", "event", "trigger", "notification", "project", "varset", "variable", "pool", "k8s", "agent"} {
		id := param(what)
		if id == "" {
			continue
		}
		shown, found = thing{what, id}, thing{what, id}
		switch what {
		case "organization":
			if name := param("name"); name != "" { // of a workspace in it
				found = thing{"named", id + "/" + name}
			}
		case "plan":
			found = thing{"run", prefixRun + strings.TrimPrefix(id, prefixPlan)}
		case "apply":
			found = thing{"run", prefixRun + strings.TrimPrefix(id, prefixApply)}
		case "event":
			if of, comment := eventRun(id); comment != "" {
				found = thing{"comment", comment}
			} else {
				found = thing{"run", of}
			}
		case "output":
			state, _, _ := splitOutputID(id)
			found = thing{"state", state}
		}
		return shown, found, true
	}
	return shown, found, false
}

// filterWorkspaceID names a workspace in the query.
const filterWorkspaceID = "filter[workspace][id]"

// authorize finds the caller's role where the call's object is, and refuses what it does not cover. What is in an organization
// that the caller is no member of does not exist for them, in the same words as what does not exist at all.
func (s *Server) authorize(rt route, req *request) error {
	need, known := s.rights[rt.method+" "+rt.pattern]
	if !known {
		return fmt.Errorf("%s %s has no row in the table of rights", rt.method, rt.pattern)
	}
	switch need.where {
	case ofSite:
		if !req.token.Site() {
			return forbidden("this takes a site admin")
		}
		req.role = postgres.RoleAdmin
		return nil
	case inFilter:
		id := req.URL.Query().Get(filterWorkspaceID)
		if id == "" {
			return nil // the handler refuses it
		}
		return s.admitWorkspace(req, id, need.role)
	case inQuery:
		name := cmp.Or(req.URL.Query().Get(filterOrganization), req.URL.Query().Get("organization"))
		if name == "" {
			return nil // the handler refuses it
		}
		return s.admit(req, thing{"organization", name}, thing{"organization", name}, need.role)
	case inPath:
		shown, found, named := pathThing(req.PathValue)
		if !named {
			return fmt.Errorf("%s %s: nobody knows where its object is", rt.method, rt.pattern)
		}
		return s.admit(req, shown, found, need.role)
	default:
		return nil
	}
}

// admit lets the caller come to the thing found, which they know as shown, or refuses.
func (s *Server) admit(req *request, shown, found thing, need postgres.Role) error {
	at, err := s.db.Locate(req.Context(), found.what, found.id)
	if err == nil {
		req.where = at.OrganizationID
		req.role, err = s.db.RoleAt(req.Context(), req.token, at)
	}
	if isNotFound(err) && req.token.Site() {
		req.role = postgres.RoleAdmin
		return nil // what does not exist is for the handler to say
	}
	switch {
	case isNotFound(err), err == nil && req.role == postgres.RoleNone:
		return notFound(shown.what, shown.id)
	case err != nil:
		return err
	default:
		return req.need(need)
	}
}

// admitWorkspace is for calls that name their workspace in the body, where the handler reads it.
func (s *Server) admitWorkspace(req *request, id string, need postgres.Role) error {
	return s.admit(req, thing{"workspace", id}, thing{"workspace", id}, need)
}

// need refuses a caller whose role where the call's object is is not enough.
func (r *request) need(role postgres.Role) error {
	if r.role.Covers(role) {
		return nil
	}
	return forbidden("this takes the role %s in the organization, and you have %s there: ask one of its admins", role, r.role)
}

func forbidden(format string, args ...any) error {
	return &postgres.Error{Code: messages.CodeForbidden, Message: fmt.Sprintf(format, args...)}
}
