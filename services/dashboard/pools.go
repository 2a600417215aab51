package dashboard

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// poolRow is a pool with how much it had to do in the last hour.
type poolRow struct {
	postgres.PoolLoad
	Address string // "" for the server's own pool, which has no page
	Depth   string // points of an SVG, of the queued tasks
	Wait    string // the same of the seconds that the oldest one had waited
	Most    string // what the charts' tops stand for
	Longest string
}

// Oldest is how long the oldest task has waited, for people.
func (p poolRow) OldestText() string {
	if p.Queued == 0 {
		return "–"
	}
	return took(time.Duration(p.PoolLoad.Oldest * float64(time.Second)))
}

func (s *Server) poolRows(r *http.Request, session postgres.Session) ([]poolRow, error) {
	loads, err := s.cfg.DB.PoolLoads(r.Context(), session.Holder)
	if err != nil {
		return nil, err
	}
	out := make([]poolRow, len(loads))
	for i, p := range loads {
		depth, wait := s.history.of(p.ID)
		out[i] = poolRow{PoolLoad: p, Depth: points(depth), Wait: points(wait), Most: fmt.Sprint(int(top(depth))), Longest: took(time.Duration(top(wait)) * time.Second)}
		switch {
		case p.Mode == messages.ModeK8s:
			out[i].Address = pathKubernetes + "/" + p.ID
		case p.Organization != "":
			out[i].Address = pathPools + "/" + p.ID
		}
	}
	return out, nil
}

type poolsView struct {
	frame
	Pools         []poolRow
	Organizations []string // where the viewer may make a pool
}

// poolsPage lists pools and makes new ones.
func (s *Server) poolsPage(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	v := poolsView{frame: s.frame(&session, "Agents and pools").at(pathPools)}
	v.Live = pathLive
	var err error
	if v.Pools, err = s.poolRows(r, session); err != nil {
		return err
	}
	if v.Organizations, err = s.administered(r, session); err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "pools.html", v)
}

// administered are the names of the organizations that the viewer administers.
func (s *Server) administered(r *http.Request, session postgres.Session) ([]string, error) {
	all, _, err := s.cfg.DB.Organizations(r.Context(), session.Holder, postgres.Page{Size: listed})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, o := range all {
		role, err := s.cfg.DB.RoleIn(r.Context(), session.Holder, o.ID)
		if err != nil {
			return nil, err
		}
		if role.Covers(postgres.RoleAdmin) {
			out = append(out, o.Name)
		}
	}
	return out, nil
}

func (s *Server) createPool(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	var made struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	err := s.call(r, session, "POST", "/api/v2/organizations/"+escaped(r.PostForm.Get("organization"))+"/agent-pools",
		document("agent-pools", map[string]any{"name": r.PostForm.Get("name")}), &made)
	if err != nil {
		return back(err, "Back to the pools", pathPools)
	}
	http.Redirect(w, r, pathPools+"/"+made.Data.ID, http.StatusSeeOther)
	return nil
}

type poolView struct {
	frame
	Viewer  viewer
	Pool    postgres.Pool
	Load    poolRow
	Address string
	Agents  []agentRow
	Tokens  []postgres.Token
	Secret  string // of the token that was just made: shown this one time
	Public  string // where agents reach the server
}

type agentRow struct {
	postgres.Agent
	Status badge
	Runs   []agentRun
	Here   bool // it hears what it is asked
	Silent bool // nobody knows what became of it
}

type agentRun struct{ ID, Address, Heading string }

// agentBadge is the status of an agent as a person sees it.
func agentBadge(a postgres.AgentStatus) badge {
	tone := map[postgres.AgentStatus]string{
		postgres.AgentIdle: "good", postgres.AgentBusy: "active", postgres.AgentDraining: "attention", postgres.AgentUnknown: "attention", postgres.AgentErrored: "bad",
	}[a]
	if tone == "" {
		tone = "neutral"
	}
	return badge{capital(string(a)), tone}
}

func (s *Server) poolPage(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	return s.showPool(w, r, session, http.StatusOK, "")
}

// poolOf finds the pool of the path, for members of its organization.
func (s *Server) poolOf(r *http.Request, session postgres.Session) (postgres.Pool, viewer, error) {
	who := viewer{Actor: session.Holder.Actor(), CSRF: session.CSRF}
	ref := r.PathValue("pool")
	p, err := s.cfg.DB.Pool(r.Context(), ref)
	if err == nil {
		who.Role, err = s.cfg.DB.RoleIn(r.Context(), session.Holder, p.OrganizationID)
	}
	if notFound(err) || err == nil && who.Role == postgres.RoleNone {
		return postgres.Pool{}, who, missing("There is no pool %q. The pools there are, are at %s.", ref, pathPools)
	}
	return p, who, err
}

func (s *Server) showPool(w http.ResponseWriter, r *http.Request, session postgres.Session, status int, secret string) error {
	p, who, err := s.poolOf(r, session)
	if err != nil {
		return err
	}
	v := poolView{
		frame:  s.frame(&session, p.Name+" · pools", link{"Pools", pathPools}, link{p.Name, pathPools + "/" + p.ID}).at(pathPools),
		Viewer: who, Pool: p, Address: pathPools + "/" + p.ID, Secret: secret, Public: s.cfg.PublicURL,
	}
	if secret == "" { // which is to stay on the screen
		v.Live = pathLive
	}
	agents, _, err := s.cfg.DB.Agents(r.Context(), p.ID, postgres.Page{Size: listed})
	if err != nil {
		return err
	}
	for _, a := range agents {
		row, err := s.agentRow(r.Context(), a)
		if err != nil {
			return err
		}
		v.Agents = append(v.Agents, row)
	}
	if v.Tokens, err = s.cfg.DB.PoolTokens(r.Context(), p.ID); err != nil {
		return err
	}
	all, err := s.poolRows(r, session)
	if err != nil {
		return err
	}
	for _, one := range all {
		if one.ID == p.ID {
			v.Load = one
		}
	}
	return s.pages.write(w, status, "pool.html", v)
}

func (s *Server) agentRow(ctx context.Context, a postgres.Agent) (agentRow, error) {
	status := a.Status(time.Now())
	row := agentRow{Agent: a, Status: agentBadge(status), Here: status == postgres.AgentIdle || status == postgres.AgentBusy || status == postgres.AgentUnknown,
		Silent: status == postgres.AgentErrored}
	for _, id := range a.Runs {
		of, err := s.cfg.DB.Run(ctx, id)
		if notFound(err) {
			continue
		}
		if err != nil {
			return row, err
		}
		ws, err := s.cfg.DB.Workspace(ctx, of.WorkspaceID)
		if err != nil {
			return row, err
		}
		row.Runs = append(row.Runs, agentRun{id, runAddress(ws, id), heading(of)})
	}
	return row, nil
}

// changePool makes or revokes a token of the pool, or asks something of an agent.
func (s *Server) changePool(w http.ResponseWriter, r *http.Request, session postgres.Session) error {
	p, _, err := s.poolOf(r, session)
	if err != nil {
		return err
	}
	at := pathPools + "/" + p.ID
	in := r.PostForm
	switch {
	case in.Get("drain") != "":
		err = s.call(r, session, "POST", "/api/gantry/v1/agents/"+escaped(in.Get("drain"))+"/drain", nil, nil)
	case in.Get("forget") != "":
		err = s.call(r, session, "DELETE", "/api/v2/agents/"+escaped(in.Get("forget")), nil, nil)
	case in.Get("revoke") != "":
		err = s.call(r, session, "DELETE", "/api/v2/authentication-tokens/"+escaped(in.Get("revoke")), nil, nil)
	default:
		var made struct {
			Data struct {
				Attributes struct {
					Token string `json:"token"`
				} `json:"attributes"`
			} `json:"data"`
		}
		err = s.call(r, session, "POST", "/api/v2/agent-pools/"+p.ID+"/authentication-tokens",
			document("authentication-tokens", map[string]any{"description": strings.TrimSpace(in.Get("description"))}), &made)
		if err == nil {
			return s.showPool(w, r, session, http.StatusOK, made.Data.Attributes.Token)
		}
	}
	if err != nil {
		return back(err, "Back to the pool", at)
	}
	http.Redirect(w, r, at, http.StatusSeeOther)
	return nil
}
