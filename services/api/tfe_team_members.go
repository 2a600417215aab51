package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gantry.example/services/postgres"
)

// changeTeam is the handler that changes a team's members: which are the ids of the users whom the body names.
func (s *Server) changeTeam(which func(*request, resourceList) ([]string, error), change func(ctx context.Context, team string, users []string) error) handler {
	return func(r *request) (reply, error) {
		var in resourceList
		if err := r.decode(&in); err != nil {
			return reply{}, err
		}
		users, err := which(r, in)
		if err != nil {
			return reply{}, err
		}
		return reply{}, change(r.Context(), r.PathValue("team"), users)
	}
}

// userIDs finds users by what TFE takes for an id of theirs here: their name.
func (s *Server) userIDs(r *request, in resourceList) ([]string, error) {
	names, err := in.ids("users")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(names))
	for i, name := range names {
		u, err := s.db.User(r.Context(), name)
		if err != nil {
			return nil, err
		}
		out[i] = u.ID
	}
	return out, nil
}

// memberIDs finds the users of memberships in the team's organization.
func (s *Server) memberIDs(r *request, in resourceList) ([]string, error) {
	ids, err := in.ids("organization-memberships")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		m, err := s.db.Membership(r.Context(), id)
		if err == nil && m.OrganizationID != r.where {
			err = notFound("membership", id)
		}
		if err != nil {
			return nil, err
		}
		out[i] = m.UserID
	}
	return out, nil
}

// theTeamToken is the description of the one token of a team that TFE's older calls know. It is shown to have none.
const theTeamToken = "token of the team"

// theirToken is the team's one token. Errors: not_found.
func (s *Server) theirToken(r *request) (postgres.Token, error) {
	team, err := s.db.Team(r.Context(), r.PathValue("team"))
	if err != nil {
		return postgres.Token{}, err
	}
	all, err := s.db.TeamTokens(r.Context(), team.OrganizationID, team.Name)
	if err != nil {
		return postgres.Token{}, err
	}
	at := slices.IndexFunc(all, func(t postgres.Token) bool { return t.TeamID == team.ID && t.Description == theTeamToken })
	if at < 0 {
		return postgres.Token{}, notFound("token of team", team.Name)
	}
	return all[at], nil
}

func (s *Server) showTeamToken(r *request) (reply, error) {
	t, err := s.theirToken(r)
	if err != nil {
		return reply{}, err
	}
	return object(tfeTokenDocument(t, ""))
}

func (s *Server) deleteTeamToken(r *request) (reply, error) {
	t, err := s.theirToken(r)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.db.RevokeToken(r.Context(), r.token, t.ID)
}

func (s *Server) createTeamToken(r *request) (reply, error) {
	_, life, err := r.tokenInput()
	if err != nil {
		return reply{}, err
	}
	return s.newTeamToken(r, theTeamToken, life, true)
}

func (s *Server) createNamedTeamToken(r *request) (reply, error) {
	in, life, err := r.tokenInput()
	if err != nil {
		return reply{}, err
	}
	return s.newTeamToken(r, in.Description, life, false)
}

// newTeamToken makes a token of the team, in place of the one with the description or only if there is none.
func (s *Server) newTeamToken(r *request, description string, life time.Duration, replace bool) (reply, error) {
	team, err := s.db.Team(r.Context(), r.PathValue("team"))
	if err != nil {
		return reply{}, err
	}
	t, secret, err := s.db.CreateSoleToken(r.Context(), postgres.NewToken{
		Description: description, Life: life, Team: team, CreatedBy: r.token.Actor(), CreatedByID: accountID(r.token),
	}, replace)
	if err != nil {
		return reply{}, err
	}
	return secretReply(object(tfeTokenDocument(t, secret)))
}

// listTeamTokens lists those of all teams, in the order that TFE's sort asks for.
func (s *Server) listTeamTokens(r *request) (reply, error) {
	p, err := r.page()
	if err != nil {
		return reply{}, err
	}
	o, err := s.db.Organization(r.Context(), r.PathValue("organization"))
	if err != nil {
		return reply{}, err
	}
	all, err := s.db.TeamTokens(r.Context(), o.ID, r.URL.Query().Get("q"))
	if err != nil {
		return reply{}, err
	}
	if err := sortTokens(all, r.URL.Query().Get("sort")); err != nil {
		return reply{}, err
	}
	out := []*tfeToken{}
	for _, t := range all {
		out = append(out, tfeTokenDocument(t, ""))
	}
	n := p.Normal()
	from := min((min(n.Number, len(out)+1)-1)*n.Size, len(out))
	return list(out[from:min(from+n.Size, len(out))], p, len(out))
}

// sortTokens sorts tokens that are sorted by their teams' names. Those that never expire come after all that do.
func sortTokens(all []postgres.Token, by string) error {
	switch by {
	case "", "team-name":
	case "-team-name":
		slices.Reverse(all)
	case "created-by":
		slices.SortStableFunc(all, func(a, b postgres.Token) int { return cmp.Compare(a.CreatedBy, b.CreatedBy) })
	case "-created-by":
		slices.SortStableFunc(all, func(a, b postgres.Token) int { return cmp.Compare(b.CreatedBy, a.CreatedBy) })
	case "expired-at":
		slices.SortStableFunc(all, byExpiry)
	case "-expired-at":
		slices.SortStableFunc(all, func(a, b postgres.Token) int { return byExpiry(b, a) })
	default:
		return invalid("query parameter sort: %q is not one of team-name, created-by, expired-at, or these with a - before them", by)
	}
	return nil
}

func byExpiry(a, b postgres.Token) int {
	switch {
	case a.ExpiresAt == nil && b.ExpiresAt == nil:
		return 0
	case a.ExpiresAt == nil:
		return 1
	case b.ExpiresAt == nil:
		return -1
	default:
		return a.ExpiresAt.Compare(*b.ExpiresAt)
	}
}
