package api

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"gantry.example/services/postgres"
)

// tfeProject is a project.
type tfeProject struct {
	ID                   string             `jsonapi:"primary,projects"`
	Name                 string             `jsonapi:"attr,name"`
	Description          string             `jsonapi:"attr,description"`
	CreatedAt            time.Time          `jsonapi:"attr,created-at,iso8601"`
	WorkspaceCount       int                `jsonapi:"attr,workspace-count"`
	DefaultExecutionMode string             `jsonapi:"attr,default-execution-mode"`
	Permissions          map[string]bool    `jsonapi:"attr,permissions"`
	SettingOverwrites    map[string]bool    `jsonapi:"attr,setting-overwrites"`
	Organization         *organizationRef   `jsonapi:"relation,organization"`
	EffectiveTags        []*effectiveTagRef `jsonapi:"relation,effective-tag-bindings"`
	more
}

type projectRef struct {
	ID string `jsonapi:"primary,projects"`
}

type effectiveTagRef struct {
	ID string `jsonapi:"primary,effective-tag-bindings"`
}

// tfeProjectInput is what of a project can be set. Nil means "not said". Execution modes are chosen by organizations and
// workspaces only.
type tfeProjectInput struct {
	ID                   string  `jsonapi:"primary,projects"`
	Name                 *string `jsonapi:"attr,name"`
	Description          *string `jsonapi:"attr,description"`
	DefaultExecutionMode *string `jsonapi:"attr,default-execution-mode"`
	DefaultAgentPoolID   *string `jsonapi:"attr,default-agent-pool-id"`
}

// tfeProjectRoutes are TFE's calls about projects.
func (s *Server) tfeProjectRoutes() []route {
	const of, one = "/api/v2/organizations/{organization}/projects", "/api/v2/projects/{project}"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List projects; q is a part of the name", out: []tfeProject{},
			query: paging("filter[names]", "q", "include", "filter[tagged][0][key]", "filter[tagged][0][value]"), handle: s.listProjects},
		{method: "POST", pattern: of, access: person, summary: "Create a project", in: tfeProjectInput{}, out: tfeProject{}, status: http.StatusCreated, create: true, handle: s.createProject},
		{method: "GET", pattern: one, access: person, summary: "Show a project", out: tfeProject{}, query: []string{"include"}, handle: s.showProject},
		{method: "PATCH", pattern: one, access: person, summary: "Change a project; tag-bindings replace its tags", in: tfeProjectInput{}, out: tfeProject{}, handle: s.updateProject},
		{method: "DELETE", pattern: one, access: person, summary: "Delete a project that has no workspaces", handle: s.deleteProject},
		{method: "GET", pattern: one + "/tag-bindings", access: person, summary: "List a project's tags", out: []tfeTagBinding{}, handle: s.listProjectTags},
		{method: "PATCH", pattern: one + "/tag-bindings", access: person, summary: "Add tags to a project, or change their values",
			in: []tfeTagBinding{}, out: []tfeTagBinding{}, handle: s.addProjectTags},
		{method: "GET", pattern: one + "/effective-tag-bindings", access: person, summary: "List a project's tags", out: []tfeEffectiveTag{}, handle: s.listEffectiveProjectTags},
	}
}

func (s *Server) projectDocument(r *request, p postgres.Project) (*tfeProject, error) {
	o, err := s.db.Organization(r.Context(), p.OrganizationID)
	if err != nil {
		return nil, err
	}
	mode, err := organizationMode(o)
	if err != nil {
		return nil, err
	}
	shown, err := keptShown(projectKept, p.Kept)
	if err != nil {
		return nil, err
	}
	tags, err := p.Tags()
	if err != nil {
		return nil, err
	}
	doc := &tfeProject{
		ID: p.ID, Name: p.Name, Description: p.Description, CreatedAt: p.CreatedAt, WorkspaceCount: p.Workspaces, DefaultExecutionMode: mode,
		Permissions: projectPermissions(r.role), Organization: &organizationRef{p.OrganizationName}, EffectiveTags: []*effectiveTagRef{}, more: more{shown},
		SettingOverwrites: map[string]bool{"default-execution-mode": false, "default-agent-pool": false},
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		doc.EffectiveTags = append(doc.EffectiveTags, &effectiveTagRef{effectiveTagID(p.ID, key)})
	}
	return doc, nil
}

// effectiveTagID is the id of a tag where it is, because whoever inherits it may have another value for its key.
func effectiveTagID(of, key string) string { return prefixTag + of + "-" + key }

func (s *Server) answerProject(r *request, p postgres.Project) (reply, error) {
	doc, err := s.projectDocument(r, p)
	if err != nil {
		return reply{}, err
	}
	side := r.include()
	if err := s.sideProject(r, side, p); err != nil {
		return reply{}, err
	}
	return object(doc, side.docs...)
}

// sideProject loads what is asked for beside a project.
func (s *Server) sideProject(r *request, side *sideLoad, p postgres.Project) error {
	tags, err := p.Tags()
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		id := effectiveTagID(p.ID, key)
		if err := side.add("effective_tag_bindings", id, func() (any, error) { return &tfeEffectiveTag{ID: id, Key: key, Value: tags[key]}, nil }); err != nil {
			return err
		}
	}
	return side.add("organization", p.OrganizationID, func() (any, error) {
		o, err := s.db.Organization(r.Context(), p.OrganizationID)
		if err != nil {
			return nil, err
		}
		return organizationDocument(o, r.role, r.token.Site())
	})
}

func (s *Server) listProjects(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	q := r.URL.Query()
	f := postgres.ProjectFilter{Names: words(q.Get("filter[names]")), Part: q.Get("q")}
	f.Keys, f.Tags = taggedFilter(q)
	all, total, err := s.db.Projects(r.Context(), r.PathValue("organization"), f, p)
	if err != nil {
		return reply{}, err
	}
	out, side := make([]*tfeProject, len(all)), r.include()
	for i, one := range all {
		if out[i], err = s.projectDocument(r, one); err != nil {
			return reply{}, err
		}
		if err := s.sideProject(r, side, one); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total, side.docs...)
}

// change reads what is to be set.
func (s *Server) projectChange(r *request) (postgres.ProjectChange, error) {
	var in tfeProjectInput
	if err := r.decodeObject(&in); err != nil {
		return postgres.ProjectChange{}, err
	}
	c := postgres.ProjectChange{Name: in.Name, Description: in.Description}
	if in.DefaultExecutionMode != nil && *in.DefaultExecutionMode != "remote" || deref(in.DefaultAgentPoolID) != "" {
		return c, invalid("field default-execution-mode: projects choose none on this server: set the organization's default, or the workspace's own")
	}
	var err error
	if c.Kept, err = r.keep(projectKept()); err != nil {
		return c, err
	}
	c.Tags, err = r.tagRelations()
	return c, err
}

func (s *Server) createProject(r *request) (reply, error) {
	c, err := s.projectChange(r)
	if err != nil {
		return reply{}, err
	}
	p, err := s.db.CreateProject(r.Context(), r.PathValue("organization"), c)
	if err != nil {
		return reply{}, err
	}
	return s.answerProject(r, p)
}

func (s *Server) showProject(r *request) (reply, error) {
	p, err := s.db.ProjectByID(r.Context(), r.PathValue("project"))
	if err != nil {
		return reply{}, err
	}
	return s.answerProject(r, p)
}

func (s *Server) updateProject(r *request) (reply, error) {
	c, err := s.projectChange(r)
	if err != nil {
		return reply{}, err
	}
	p, err := s.db.UpdateProject(r.Context(), r.PathValue("project"), c)
	if err != nil {
		return reply{}, err
	}
	return s.answerProject(r, p)
}

func (s *Server) deleteProject(r *request) (reply, error) {
	return reply{}, s.db.DeleteProject(r.Context(), r.PathValue("project"))
}

// projectTags shows the tags of the request's project, by key.
func projectTags[T any](s *Server, r *request, show func(p postgres.Project, key, value string) *T) ([]*T, error) {
	p, err := s.db.ProjectByID(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	tags, err := p.Tags()
	if err != nil {
		return nil, err
	}
	out := []*T{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, show(p, key, tags[key]))
	}
	return out, nil
}

func (s *Server) listProjectTags(r *request) (reply, error) {
	out, err := projectTags(s, r, func(_ postgres.Project, key, value string) *tfeTagBinding {
		return &tfeTagBinding{prefixTag + key, key, value}
	})
	if err != nil {
		return reply{}, err
	}
	return collection(out, nil)
}

func (s *Server) listEffectiveProjectTags(r *request) (reply, error) {
	out, err := projectTags(s, r, func(p postgres.Project, key, value string) *tfeEffectiveTag {
		return &tfeEffectiveTag{ID: effectiveTagID(p.ID, key), Key: key, Value: value}
	})
	if err != nil {
		return reply{}, err
	}
	return collection(out, nil)
}

func (s *Server) addProjectTags(r *request) (reply, error) {
	var in tagList
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	named, err := tags(in.Data)
	if err != nil {
		return reply{}, err
	}
	if _, err := s.db.UpdateProject(r.Context(), r.PathValue("project"), postgres.ProjectChange{Tags: &postgres.TagChange{Set: named}}); err != nil {
		return reply{}, err
	}
	return s.listProjectTags(r)
}
