package api

import (
	"maps"
	"slices"

	"gantry.example/services/postgres"
)

// relateTags names the workspace's own tags, and those it has by itself or from its project.
func (doc *tfeWorkspace) relateTags(w postgres.Workspace) error {
	own, err := w.Tags()
	if err != nil {
		return err
	}
	all, err := effectiveTags(w)
	if err != nil {
		return err
	}
	doc.TagBindings, doc.EffectiveTags = []*tagBindingRef{}, []*effectiveTagRef{}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		doc.TagBindings = append(doc.TagBindings, &tagBindingRef{prefixTag + key})
	}
	for _, tag := range all {
		doc.EffectiveTags = append(doc.EffectiveTags, &effectiveTagRef{tag.ID})
	}
	return nil
}

// effectiveTags are the tags of a workspace by key: its own, and those of its project that it does not have another value for.
func effectiveTags(w postgres.Workspace) ([]*tfeEffectiveTag, error) {
	own, err := w.Tags()
	if err != nil {
		return nil, err
	}
	inherited, err := w.ProjectTags()
	if err != nil {
		return nil, err
	}
	all := maps.Clone(inherited)
	maps.Copy(all, own)
	out := []*tfeEffectiveTag{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		tag := &tfeEffectiveTag{ID: effectiveTagID(w.ID, key), Key: key, Value: all[key]}
		if _, mine := own[key]; !mine {
			tag.from = "/api/v2/projects/" + w.ProjectID
		}
		out = append(out, tag)
	}
	return out, nil
}

// sideWorkspace loads what is asked for beside a workspace.
func (s *Server) sideWorkspace(r *request, side *sideLoad, w postgres.Workspace) error {
	if !slices.ContainsFunc(side.wanted, func(word string) bool { return word != "" }) {
		return nil
	}
	tags, err := effectiveTags(w)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := side.add("effective_tag_bindings", tag.ID, func() (any, error) { return tag, nil }); err != nil {
			return err
		}
	}
	for _, load := range []func() error{
		func() error {
			return side.add("organization", w.OrganizationID, func() (any, error) {
				o, err := s.db.Organization(r.Context(), w.OrganizationID)
				if err != nil {
					return nil, err
				}
				return organizationDocument(o, r.role, r.token.Site())
			})
		},
		func() error {
			return side.add("project", w.ProjectID, func() (any, error) {
				p, err := s.db.ProjectByID(r.Context(), w.ProjectID)
				if err != nil {
					return nil, err
				}
				return s.projectDocument(r, p)
			})
		},
		func() error {
			return side.add("locked_by", w.LockedBy, func() (any, error) {
				return namedUser(w.LockedBy), nil
			})
		},
		func() error { return s.sideState(r, side, w) },
		func() error { return s.sideCurrentRun(r, side, w) },
	} {
		if err := load(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) sideCurrentRun(r *request, side *sideLoad, w postgres.Workspace) error {
	doc, err := workspaceDocument(w, r.role)
	if err != nil || doc.CurrentRun == nil || !side.asks("current_run") {
		return err
	}
	found, err := s.db.Run(r.Context(), doc.CurrentRun.ID)
	if err != nil {
		return err
	}
	err = side.add("current_run", found.ID, func() (any, error) { return s.shownRun(r, found) })
	if err == nil {
		err = side.add("current_run.plan", found.ID, func() (any, error) { return s.planDocument(found), nil })
	}
	if err == nil {
		err = side.add("current_run.configuration_version", found.ConfigurationVersionID, func() (any, error) {
			cv, err := s.db.ConfigurationVersion(r.Context(), found.ConfigurationVersionID)
			if err != nil {
				return nil, err
			}
			return s.configurationDocument(r, cv), nil
		})
	}
	return err
}

// sideState loads the current state version, and its outputs.
func (s *Server) sideState(r *request, side *sideLoad, w postgres.Workspace) error {
	if w.StateID == nil {
		return nil
	}
	err := side.add("current_state_version", *w.StateID, func() (any, error) {
		sv, err := s.db.StateVersion(r.Context(), *w.StateID)
		if err != nil {
			return nil, err
		}
		return s.stateDocument(sv), nil
	})
	if err != nil || !side.asks("outputs") {
		return err
	}
	outputs, err := s.outputs(r, *w.StateID)
	if err != nil {
		return err
	}
	for _, o := range hideSensitive(outputs) {
		side.docs = append(side.docs, &tfeWorkspaceOutput{ID: o.ID, Name: o.Name, Sensitive: o.Sensitive, Type: o.Type, Value: o.Value})
	}
	return nil
}

// tfeWorkspaceOutput is an output as a workspace includes it.
type tfeWorkspaceOutput struct {
	ID        string `jsonapi:"primary,workspace-outputs"`
	Name      string `jsonapi:"attr,name"`
	Sensitive bool   `jsonapi:"attr,sensitive"`
	Type      string `jsonapi:"attr,output-type"`
	Value     any    `jsonapi:"attr,value"`
}
