package api

import (
	"net/http"
)

// tfeStateConsumerRoutes are TFE's calls about which workspaces read a workspace's state.
func (s *Server) tfeStateConsumerRoutes() []route {
	const of = "/api/v2/workspaces/{workspace}/relationships/remote-state-consumers"
	return []route{
		{method: "GET", pattern: of, access: person, summary: "List the workspaces that are named as readers of a workspace's state", out: []tfeWorkspace{}, query: paging(), handle: s.listStateConsumers},
		{method: "POST", pattern: of, access: person, summary: "Name more readers of a workspace's state", in: resourceList{}, status: http.StatusNoContent, handle: s.setStateConsumers(false)},
		{method: "PATCH", pattern: of, access: person, summary: "Replace the readers of a workspace's state", in: resourceList{}, status: http.StatusNoContent, handle: s.setStateConsumers(true)},
		{method: "DELETE", pattern: of, access: person, summary: "Name some readers of a workspace's state no more", in: resourceList{}, handle: s.dropStateConsumers},
	}
}

// ids reads the list, all of whose members must be of the type.
func (l resourceList) ids(kind string) ([]string, error) {
	out := make([]string, len(l.Data))
	for i, to := range l.Data {
		if to.Type != kind || to.ID == "" {
			return nil, invalid(`field data[%d]: want {"type": %q, "id": …}`, i, kind)
		}
		out[i] = to.ID
	}
	return out, nil
}

func (s *Server) listStateConsumers(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	all, total, err := s.db.StateConsumers(r.Context(), r.PathValue("workspace"), p)
	if err != nil {
		return reply{}, err
	}
	out := make([]*tfeWorkspace, len(all))
	for i, w := range all {
		if out[i], err = workspaceDocument(w, r.role); err != nil {
			return reply{}, err
		}
	}
	return list(out, p, total)
}

func (s *Server) setStateConsumers(replace bool) handler {
	return func(r *request) (reply, error) {
		var in resourceList
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
		ids, err := in.ids("workspaces")
		if err != nil {
			return reply{}, err
		}
		return reply{}, s.db.SetStateConsumers(r.Context(), r.PathValue("workspace"), ids, replace)
	}
}

func (s *Server) dropStateConsumers(r *request) (reply, error) {
	var in resourceList
	if err := r.decode(&in); err != nil {
		return reply{}, err
	}
	ids, err := in.ids("workspaces")
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.DropStateConsumers(r.Context(), r.PathValue("workspace"), ids)
}
