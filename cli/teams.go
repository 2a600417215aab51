package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

const orgTeam = "ORG/TEAM"

func (a *app) teamsCommand() *cobra.Command {
	var yes bool
	remove := a.outputs(&cobra.Command{
		Use: "delete ORG/TEAM", Short: "Delete a team with its roles and tokens; its members stay in the organization", Args: exactly(orgTeam),
		RunE: func(cmd *cobra.Command, args []string) error { return a.deleteTeam(cmd.Context(), args[0], yes) },
	})
	remove.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return a.connects(group("teams", "Create teams and say what they may do in which workspaces", a.teamsListCommand(),
		a.outputs(&cobra.Command{
			Use: "new ORG/TEAM", Short: "Create a team", Args: exactly(orgTeam),
			RunE: func(cmd *cobra.Command, args []string) error { return a.newTeam(cmd.Context(), args[0]) },
		}),
		a.teamMembersCommand("add", "Add members of the organization to a team", "%s is in team %s now.", (*client.Client).AddToTeam),
		a.teamMembersCommand("remove", "Take users out of a team", "%s is not in team %s any more.", (*client.Client).RemoveFromTeam),
		a.teamsRoleCommand(), remove, a.teamTokensCommand()))
}

func (a *app) teamsListCommand() *cobra.Command {
	var workspace string
	cmd := a.outputs(&cobra.Command{
		Use: "list ORG", Short: "List the teams of an organization, or those with a role in one workspace", Args: exactly("ORG"),
		ValidArgsFunction: a.completeOrganizations,
	})
	cmd.Flags().StringVar(&workspace, "workspace", "", "name of a workspace: only the teams with a role in it, and which")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if workspace != "" {
			return a.listTeamRoles(cmd.Context(), args[0], workspace)
		}
		return a.listTeams(cmd.Context(), args[0])
	}
	return cmd
}

// teamView is a team as -o json shows it.
type teamView struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Members []string `json:"members"` // usernames
}

func (a *app) listTeams(ctx context.Context, organization string) error {
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		all, err := c.Teams(ctx, o.Name)
		if err != nil {
			return err
		}
		members, err := c.Members(ctx, o.Name)
		if err != nil {
			return err
		}
		names := map[string]string{}
		for _, m := range members {
			names[m.UserID] = m.Username
		}
		out := make([]teamView, len(all))
		for i, team := range all {
			out[i] = teamView{ID: team.ID, Name: team.Name, Members: []string{}}
			for _, id := range team.UserIDs {
				out[i].Members = append(out[i].Members, cmp.Or(names[id], id))
			}
			slices.Sort(out[i].Members)
		}
		return a.show(out, func(t *table) {
			t.head("NAME", "ID", "MEMBERS")
			for _, team := range out {
				t.row(team.Name, team.ID, strings.Join(team.Members, ", "))
			}
		})
	})
}

// teamRoleView is a role as -o json shows it.
type teamRoleView struct {
	Team      string `json:"team"`
	Workspace string `json:"workspace"`
	Role      string `json:"role"`
}

func (a *app) listTeamRoles(ctx context.Context, organization, workspace string) error {
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		w, err := findWorkspace(ctx, c, workspaceName{o.Name, strings.TrimPrefix(workspace, o.Name+"/")})
		if err != nil {
			return err
		}
		teams, err := c.Teams(ctx, o.Name)
		if err != nil {
			return err
		}
		roles, err := c.TeamRoles(ctx, w.ID)
		if err != nil {
			return err
		}
		out := []teamRoleView{}
		for _, team := range teams {
			if i := slices.IndexFunc(roles, func(r client.TeamRole) bool { return r.TeamID == team.ID }); i >= 0 {
				out = append(out, teamRoleView{Team: team.Name, Workspace: w.Name, Role: roles[i].Role})
			}
		}
		return a.show(out, func(t *table) {
			t.head("TEAM", "ROLE")
			for _, r := range out {
				t.row(r.Team, r.Role)
			}
		})
	})
}

func parseTeam(text string) (organization, name string, err error) {
	organization, name, ok := strings.Cut(text, "/")
	if !ok || organization == "" || name == "" {
		return "", "", fmt.Errorf("%q is not a team: write ORGANIZATION/TEAM, for example default/deployers", text)
	}
	return organization, name, validName("organization", organization)
}

// withTeam looks the team up, by name or id, and does something with it.
func (a *app) withTeam(ctx context.Context, text string, do func(*client.Client, client.Organization, client.Team) error) error {
	organization, name, err := parseTeam(text)
	if err != nil {
		return err
	}
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		all, err := c.Teams(ctx, o.Name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(t client.Team) bool { return strings.EqualFold(t.Name, name) || t.ID == name })
		if i < 0 {
			return fmt.Errorf("team %s does not exist. See gantry teams list %s, or create it with gantry teams new %s", text, o.Name, text)
		}
		return do(c, o, all[i])
	})
}

func (a *app) newTeam(ctx context.Context, text string) error {
	organization, name, err := parseTeam(text)
	if err != nil {
		return err
	}
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		team, err := c.CreateTeam(ctx, o.Name, name)
		if err != nil {
			return err
		}
		return a.show(teamView{team.ID, team.Name, []string{}}, func(t *table) {
			t.line("Created team %s. Add members with gantry teams add %[1]s USER, and say what they may do with gantry teams role %[1]s WORKSPACE ROLE", text)
		})
	})
}

func (a *app) deleteTeam(ctx context.Context, text string, yes bool) error {
	return a.withTeam(ctx, text, func(c *client.Client, _ client.Organization, team client.Team) error {
		if err := a.confirm(ctx, yes, fmt.Sprintf("Delete team %s, with its roles and tokens?", text)); err != nil {
			return err
		}
		if err := c.DeleteTeam(ctx, team.ID); err != nil {
			return fmt.Errorf("team %s was not deleted: %w", text, err)
		}
		return a.show(map[string]string{"id": team.ID, "name": team.Name}, func(t *table) { t.line("Deleted team %s.", text) })
	})
}

// teamMembersCommand is a command that changes who is in a team; done tells of a user and the team.
func (a *app) teamMembersCommand(name, short, done string, change func(*client.Client, context.Context, string, []string) error) *cobra.Command {
	return a.outputs(&cobra.Command{
		Use: name + " ORG/TEAM USER...", Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			return exactly(orgTeam, "USER")(cmd, args[:min(len(args), 2)]) // and any number more
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			text, users := args[0], args[1:]
			return a.withTeam(cmd.Context(), text, func(c *client.Client, _ client.Organization, team client.Team) error {
				if err := change(c, cmd.Context(), team.ID, users); err != nil {
					return fmt.Errorf("team %s was not changed: %w", text, err)
				}
				return a.show(map[string]any{"team": team.Name, "users": users}, func(t *table) {
					for _, user := range users {
						t.line(done, user, text)
					}
				})
			})
		},
	})
}

func (a *app) teamsRoleCommand() *cobra.Command {
	words := append(roleWords(), roleNone)
	return a.outputs(&cobra.Command{
		Use: "role ORG/TEAM WORKSPACE ROLE", Short: "Say what a team may do in a workspace", Args: exactly(orgTeam, "WORKSPACE", "ROLE"),
		Long: "ROLE is read, plan, write or admin; none takes it away. In a workspace counts the role in the organization or that of\n" +
			"a team, whichever is more.",
		Example: "  gantry teams role default/deployers network write",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 2 {
				return words, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if role := args[2]; !slices.Contains(words, role) {
				return usage(cmd, "%q is not one of %s", role, strings.Join(words, ", "))
			}
			return a.setTeamRole(cmd.Context(), args[0], args[1], args[2])
		},
	})
}

func (a *app) setTeamRole(ctx context.Context, text, workspace, role string) error {
	return a.withTeam(ctx, text, func(c *client.Client, o client.Organization, team client.Team) error {
		w, err := findWorkspace(ctx, c, workspaceName{o.Name, strings.TrimPrefix(workspace, o.Name+"/")})
		if err != nil {
			return err
		}
		all, err := c.TeamRoles(ctx, w.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r client.TeamRole) bool { return r.TeamID == team.ID })
		switch {
		case role == roleNone && i >= 0:
			err = c.EndTeamRole(ctx, all[i].ID)
		case role == roleNone:
		case i >= 0:
			_, err = c.ChangeTeamRole(ctx, all[i].ID, role)
		default:
			_, err = c.GiveTeamRole(ctx, team.ID, w.ID, role)
		}
		if err != nil {
			return fmt.Errorf("the role of team %s in %s was not changed: %w", text, w.Name, err)
		}
		return a.show(teamRoleView{Team: team.Name, Workspace: w.Name, Role: role}, func(t *table) {
			if role == roleNone {
				t.line("Team %s has no role in %s now.", text, w.Name)
				return
			}
			t.line("Team %s has the role %s in %s now.", text, role, w.Name)
		})
	})
}

func (a *app) teamTokensCommand() *cobra.Command {
	var life time.Duration
	var description string
	create := a.outputs(&cobra.Command{
		Use: "new ORG/TEAM", Short: "Create a token of a team and print it, once", Args: exactly(orgTeam),
		Long: "Creates a token, for CI for example, that may do what the team may, and prints it alone on stdout, once: it cannot be\n" +
			"shown again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && life < time.Second {
				return usage(cmd, "--expires-in %s is not a life, such as 720h", life)
			}
			return a.newTeamToken(cmd.Context(), args[0], description, life)
		},
	})
	create.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, for example 720h (default: until it is revoked)")
	create.Flags().StringVar(&description, "description", "ci", "what it is for; no two tokens of a team have the same")
	return group("tokens", "Create, list and revoke tokens of a team", create,
		a.outputs(&cobra.Command{
			Use: "list ORG/TEAM", Short: "List the tokens of a team, without their secrets", Args: exactly(orgTeam),
			RunE: func(cmd *cobra.Command, args []string) error { return a.listTeamTokens(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "revoke ORG/TEAM ID", Short: "Make a token worthless at once", Args: exactly(orgTeam, "ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.revokeTeamToken(cmd.Context(), args[0], args[1])
			},
		}))
}

func (a *app) newTeamToken(ctx context.Context, text, description string, life time.Duration) error {
	return a.withTeam(ctx, text, func(c *client.Client, _ client.Organization, team client.Team) error {
		created, err := c.CreateTeamToken(ctx, team.ID, description, life)
		if err != nil {
			return err
		}
		if !a.asJSON() {
			fmt.Fprintf(a.env.Stderr, "Created token %s (%s) of team %s. It is shown this one time:\n", created.ID, oneLine(created.Description), text)
		}
		return a.show(created, func(t *table) { t.line("%s", created.Secret) })
	})
}

// teamTokens are the tokens of that team.
func teamTokens(ctx context.Context, c *client.Client, organization string, team client.Team) ([]client.TeamToken, error) {
	all, err := c.TeamTokens(ctx, organization)
	return slices.DeleteFunc(all, func(t client.TeamToken) bool { return t.TeamID != team.ID }), err
}

func (a *app) listTeamTokens(ctx context.Context, text string) error {
	return a.withTeam(ctx, text, func(c *client.Client, o client.Organization, team client.Team) error {
		all, err := teamTokens(ctx, c, o.Name, team)
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("ID", "DESCRIPTION", "CREATED", "EXPIRES")
			for _, one := range all {
				t.row(one.ID, one.Description, one.CreatedAt, expiry(one.ExpiresAt))
			}
		})
	})
}

func (a *app) revokeTeamToken(ctx context.Context, text, id string) error {
	return a.withTeam(ctx, text, func(c *client.Client, o client.Organization, team client.Team) error {
		all, err := teamTokens(ctx, c, o.Name, team)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(t client.TeamToken) bool { return t.ID == id }) {
			return fmt.Errorf("team %s has no token %s. See gantry teams tokens list %[1]s", text, id)
		}
		if err := c.RevokeTeamToken(ctx, id); err != nil {
			return err
		}
		return a.show(map[string]string{"id": id}, func(t *table) { t.line("Revoked token %s.", id) })
	})
}
