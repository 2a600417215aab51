package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/jsonapi"

	"gantry.example/services/postgres"
)

// tfeTagRoutes are TFE's calls about the tags of a workspace, by which a cloud block names workspaces: as a list of names
// ("tags"), and by key and value ("tag-bindings"). Both are the same tags.
func (s *Server) tfeTagRoutes() []route {
	const byID = "/api/v2/workspaces/{workspace}"
	return []route{
		{method: "GET", pattern: byID + "/tag-bindings", access: person, summary: "List a workspace's tags", out: []tfeTagBinding{}, handle: s.listTagBindings},
		{method: "PATCH", pattern: byID + "/tag-bindings", access: person, summary: "Add tags to a workspace, or change their values",
			in: []tfeTagBinding{}, out: []tfeTagBinding{}, handle: s.addTagBindings},
		{method: "GET", pattern: byID + "/effective-tag-bindings", access: person, summary: "List a workspace's tags, with those of its project",
			out: []tfeEffectiveTag{}, handle: s.listEffectiveTags},
		{method: "GET", pattern: byID + "/relationships/tags", access: person, summary: "List the names of a workspace's tags", out: []tfeTag{}, query: paging(), handle: s.listTags},
		{method: "POST", pattern: byID + "/relationships/tags", access: person, summary: "Add tags to a workspace", in: []tfeTag{},
			status: http.StatusNoContent, handle: s.changeTags(false)},
		{method: "DELETE", pattern: byID + "/relationships/tags", access: person, summary: "Take tags off a workspace", in: []tfeTag{},
			status: http.StatusNoContent, handle: s.changeTags(true)},
	}
}

// tfeTagBinding is a tag with its value.
type tfeTagBinding struct {
	ID    string `jsonapi:"primary,tag-bindings"`
	Key   string `jsonapi:"attr,key"`
	Value string `jsonapi:"attr,value"`
}

// tfeEffectiveTag is a tag with its value, wherever it comes from.
type tfeEffectiveTag struct {
	ID    string `jsonapi:"primary,effective-tag-bindings"`
	Key   string `jsonapi:"attr,key"`
	Value string `jsonapi:"attr,value"`
	from  string // the path of the project it comes from
}

// JSONAPILinks tells where an inherited tag comes from.
func (t *tfeEffectiveTag) JSONAPILinks() *jsonapi.Links {
	links := jsonapi.Links{} // the library takes no nil for none
	if t.from != "" {
		links["inherited-from"] = t.from
	}
	return &links
}

// tfeTag is the name of a tag.
type tfeTag struct {
	ID   string `jsonapi:"primary,tags"`
	Name string `jsonapi:"attr,name"`
}

// tagInput is a tag in a body: by its name, or by key and value. Tags have no ids of their own, so the id that listTags shows
// is as good as a name.
type tagInput struct {
	ID         string `json:"id"`
	Attributes struct {
		Name  string `json:"name"`
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"attributes"`
}

// tags collects tags by key.
func tags(list []tagInput) (map[string]string, error) {
	out := map[string]string{}
	for i, t := range list {
		key := t.Attributes.Key
		if key == "" {
			key = t.Attributes.Name
		}
		if key == "" {
			key = strings.TrimPrefix(t.ID, prefixTag)
		}
		if key == "" {
			return nil, invalid("tag %d: its name (of a tag binding: its key) is missing", i)
		}
		out[key] = t.Attributes.Value
	}
	return out, nil
}

const prefixTag = "tag-"

// tagRelations reads the tags among the relationships of a workspace that is created or changed, or nil where it names none.
// Tag bindings replace all tags there are, as in TFE.
func (r *request) tagRelations() (*postgres.TagChange, error) {
	var doc struct {
		Data struct {
			Relationships struct {
				Tags     *tagList `json:"tags"`
				Bindings *tagList `json:"tag-bindings"`
			} `json:"relationships"`
		} `json:"data"`
	}
	if err := json.Unmarshal(r.body, &doc); err != nil {
		return nil, invalid("relationships tags and tag-bindings: want a list of tags: %v", err)
	}
	given := doc.Data.Relationships
	if given.Tags == nil && given.Bindings == nil {
		return nil, nil
	}
	out := &postgres.TagChange{Clear: given.Bindings != nil, Set: map[string]string{}}
	for _, list := range []*tagList{given.Tags, given.Bindings} {
		if list == nil {
			continue
		}
		named, err := tags(list.Data)
		if err != nil {
			return nil, err
		}
		maps.Copy(out.Set, named)
	}
	return out, nil
}

type tagList struct {
	Data []tagInput `json:"data"`
}

// workspaceFilter reads what a list of workspaces is narrowed by.
func workspaceFilter(q url.Values) postgres.WorkspaceFilter {
	f := postgres.WorkspaceFilter{
		Name: cmp.Or(q.Get("search[wildcard-name]"), q.Get("search[name]")), ExcludeKeys: words(q.Get("search[exclude-tags]")),
		Project: q.Get("filter[project][id]"), RunStatuses: words(q.Get("filter[current-run][status]")), Sort: q.Get("sort"),
	}
	f.Keys, f.Tags = taggedFilter(q)
	f.Keys = append(f.Keys, words(q.Get("search[tags]"))...)
	return f
}

// taggedFilter reads by which tags a list is narrowed: keys alone, and keys with values.
func taggedFilter(q url.Values) (keys []string, tags map[string]string) {
	tags = map[string]string{}
	for i := 0; q.Has(fmt.Sprintf("filter[tagged][%d][key]", i)); i++ {
		key, value := q.Get(fmt.Sprintf("filter[tagged][%d][key]", i)), q.Get(fmt.Sprintf("filter[tagged][%d][value]", i))
		if value == "" {
			keys = append(keys, key)
		} else {
			tags[key] = value
		}
	}
	return keys, tags
}

// words splits a list with commas.
func words(list string) []string {
	var out []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// eachTag shows the tags of the request's workspace, by key.
func eachTag[T any](s *Server, r *request, show func(key, value string) *T) ([]*T, error) {
	w, err := s.workspace(r)
	if err != nil {
		return nil, err
	}
	tags, err := w.Tags()
	if err != nil {
		return nil, err
	}
	out := []*T{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, show(key, tags[key]))
	}
	return out, nil
}

func (s *Server) listTagBindings(r *request) (reply, error) {
	out, err := eachTag(s, r, func(key, value string) *tfeTagBinding { return &tfeTagBinding{prefixTag + key, key, value} })
	if err != nil {
		return reply{}, err
	}
	return collection(out, nil)
}

func (s *Server) listEffectiveTags(r *request) (reply, error) {
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	out, err := effectiveTags(w)
	if err != nil {
		return reply{}, err
	}
	return collection(out, nil)
}

func (s *Server) listTags(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	out, err := eachTag(s, r, func(key, _ string) *tfeTag { return &tfeTag{prefixTag + key, key} })
	if err != nil {
		return reply{}, err
	}
	total, n := len(out), p.Normal()
	from := min((n.Number-1)*n.Size, total)
	return list(out[from:min(from+n.Size, total)], p, total)
}

func (s *Server) addTagBindings(r *request) (reply, error) {
	if _, err := s.updateTags(r, false); err != nil {
		return reply{}, err
	}
	return s.listTagBindings(r)
}

func (s *Server) changeTags(remove bool) handler {
	return func(r *request) (reply, error) { return s.updateTags(r, remove) }
}

func (s *Server) updateTags(r *request, remove bool) (reply, error) {
	var in tagList
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	named, err := tags(in.Data)
	if err != nil {
		return reply{}, err
	}
	w, err := s.workspace(r)
	if err != nil {
		return reply{}, err
	}
	change := &postgres.TagChange{Set: named}
	if remove {
		change = &postgres.TagChange{Drop: slices.Collect(maps.Keys(named))}
	}
	_, err = s.db.UpdateWorkspace(r.Context(), w.ID, postgres.WorkspaceChange{Tags: change})
	return reply{}, err
}
