package api

import (
	"net/http"
	"strings"

	"gantry.example/services/postgres"
)

// defaultProject is the one project of every organization: Gantry has none, but a cloud block may name one, and Terraform's
// CLI needs the calls.
const defaultProject = "Default Project"

// tfeProject is a project.
type tfeProject struct {
	ID           string           `jsonapi:"primary,projects"`
	Name         string           `jsonapi:"attr,name"`
	Organization *organizationRef `jsonapi:"relation,organization"`
}

type tfeProjectInput struct {
	ID   string `jsonapi:"primary,projects"`
	Name string `jsonapi:"attr,name"`
}

func (s *Server) tfeProjectRoutes() []route {
	const ofOrganization = "/api/v2/organizations/{organization}/projects"
	return []route{
		{method: "GET", pattern: ofOrganization, access: person, summary: `List projects: "Default Project" alone`, out: []tfeProject{},
			query: paging("filter[names]"), handle: s.listProjects},
		{method: "POST", pattern: ofOrganization, access: person, summary: "Create a project: refused, there are none but the default one",
			in: tfeProjectInput{}, out: tfeProject{}, status: http.StatusCreated, handle: s.createProject},
	}
}

func projectID(o postgres.Organization) string { return "prj-" + strings.TrimPrefix(o.ID, "org-") }

func (s *Server) listProjects(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	out := []*tfeProject{}
	if names := words(r.URL.Query().Get("filter[names]")); len(names) == 0 || names[0] == defaultProject {
		out = append(out, &tfeProject{ID: projectID(o), Name: defaultProject, Organization: &organizationRef{o.Name}})
	}
	return list(out, p, len(out))
}

func (s *Server) createProject(r *request) (reply, error) {
	var in tfeProjectInput
	if err := r.decodeObject(&in); err != nil {
		return reply{}, err
	}
	return reply{}, invalid("project %q: this server has no projects but %q: leave the project out of the cloud block and TF_CLOUD_PROJECT, and group workspaces by tags", in.Name, defaultProject)
}
