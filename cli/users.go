package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

// The words for a role on the command line. none ends a membership.
const (
	roleNone  = "none"
	roleAdmin = "admin"
)

func roleWords() []string { return []string{"read", "plan", "write", roleAdmin} }

func (a *app) usersCommand() *cobra.Command {
	list := a.outputs(&cobra.Command{
		Use: "list", Short: "List users, or the members of one organization", Args: exactly(),
	})
	organization := orgFlag(list, "only members of this organization")
	list.RunE = func(cmd *cobra.Command, _ []string) error { return a.listUsers(cmd.Context(), *organization) }
	return a.connects(group("users", "Create users and say what they may do", a.usersNewCommand(), list, a.usersRoleCommand(),
		a.usersPasswordCommand(), a.usersDeleteCommand()))
}

func orgFlag(cmd *cobra.Command, help string) *string { return cmd.Flags().String("org", "", help) }

func (a *app) usersNewCommand() *cobra.Command {
	var in client.NewPerson
	var role, file string
	cmd := a.outputs(&cobra.Command{
		Use: "new NAME", Short: "Create a user", Args: exactly("NAME"),
		Long: "Creates a user, and makes them a member of the organization where --role says as what. The password is asked for\n" +
			"without being shown, or read from --password-file, or from the first line of stdin. It has 10 characters or more.\n\n" +
			"Roles: read looks at everything; plan may also ask for runs, which somebody else approves; write may also apply, lock\n" +
			"and change workspaces, variables and states; admin may also manage members and tokens, delete and force.",
		Example: "  gantry users new ann --email ann@example.com --role plan",
	})
	organization := orgFlag(cmd, "the organization of --role (default: the only one)")
	cmd.Flags().StringVar(&in.Email, "email", "", "email address, which logs in as well as the name")
	cmd.Flags().StringVar(&role, "role", "", "role in the organization: read, plan, write or admin")
	cmd.Flags().BoolVar(&in.SiteAdmin, "site-admin", false, "may do everything everywhere, and manage users")
	cmd.Flags().StringVar(&file, "password-file", "", "file with the password in its first line")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roleWords(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if role != "" && !slices.Contains(roleWords(), role) {
			return usage(cmd, "--role %q is not one of %s", role, strings.Join(roleWords(), ", "))
		}
		if *organization != "" && role == "" {
			return usage(cmd, "--org needs --role")
		}
		in.Username = args[0]
		return a.newUser(cmd.Context(), in, file, *organization, role)
	}
	return cmd
}

func (a *app) newUser(ctx context.Context, in client.NewPerson, file, organization, role string) error {
	return a.withClient(func(c *client.Client) error {
		if role != "" { // before anything is made
			var err error
			if organization, err = a.theOrganization(ctx, c, organization); err != nil {
				return err
			}
		}
		var err error
		if in.Password, err = a.newPassword(ctx, file, in.Username); err != nil {
			return err
		}
		made, err := c.CreateUser(ctx, in)
		if err != nil {
			return err
		}
		if role != "" {
			if _, err := c.SetMember(ctx, organization, made.Username, role); err != nil {
				return fmt.Errorf("user %s was created, but is no member of %s yet: %w. Use gantry users role", made.Username, organization, err)
			}
			made.Memberships = append(made.Memberships, client.Membership{Organization: organization, Role: role})
		}
		return a.show(made, func(t *table) {
			t.line("Created user %s%s.", made.Username, rolesText(made))
			if len(made.Memberships) == 0 && !made.SiteAdmin {
				t.line("They see nothing yet: gantry users role %s read|plan|write|admin", made.Username)
			}
		})
	})
}

// newPassword reads a password from the file, or asks for it, twice on a terminal.
func (a *app) newPassword(ctx context.Context, file, name string) (string, error) {
	if file != "" {
		return readSetting(file, "--password-file")
	}
	password, err := a.askSecret(ctx, "New password for "+name)
	if err == nil && a.env.StdinTerminal {
		var again string
		if again, err = a.askSecret(ctx, "The same again"); err == nil && again != password {
			err = errors.New("the two passwords differ: nothing was changed")
		}
	}
	if err == nil && password == "" {
		err = errors.New("no password was given: type one, or name a file with it by --password-file")
	}
	return password, err
}

// theOrganization is the one named, or else the only one there is.
func (a *app) theOrganization(ctx context.Context, c *client.Client, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	all, err := c.Organizations(ctx)
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", fmt.Errorf("there are %d organizations: name one by --org", len(all))
	}
	return all[0].Name, nil
}

// withClient connects for the time of f.
func (a *app) withClient(f func(*client.Client) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func rolesText(p client.Person) string {
	var out []string
	if p.SiteAdmin {
		out = append(out, "site admin")
	}
	for _, m := range p.Memberships {
		out = append(out, m.Role+" in "+m.Organization)
	}
	if len(out) == 0 {
		return ""
	}
	return ", " + strings.Join(out, ", ")
}

func (a *app) listUsers(ctx context.Context, organization string) error {
	return a.withClient(func(c *client.Client) error {
		if organization != "" {
			members, err := c.Members(ctx, organization)
			if err != nil {
				return missing(err, "organization %s does not exist, or you are no member of it. See gantry organizations list", organization)
			}
			return a.show(members, func(t *table) {
				t.head("USERNAME", "EMAIL", "ROLE", "SINCE")
				for _, m := range members {
					t.row(m.Username, m.Email, m.Role, m.Since)
				}
			})
		}
		all, err := c.Users(ctx)
		var refusal *client.Error
		if errors.As(err, &refusal) && refusal.Status == http.StatusForbidden {
			return fmt.Errorf("%w. The members of your own organization are shown by gantry users list --org NAME", err)
		}
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("USERNAME", "EMAIL", "ROLES", "CREATED")
			for _, u := range all {
				t.row(u.Username, u.Email, strings.TrimPrefix(rolesText(u), ", "), u.CreatedAt)
			}
		})
	})
}

func (a *app) usersRoleCommand() *cobra.Command {
	words := append(roleWords(), roleNone)
	cmd := a.outputs(&cobra.Command{
		Use: "role NAME ROLE", Short: "Say what a user may do in an organization", Args: exactly("NAME", "ROLE"),
		Long: "ROLE is read, plan, write or admin; none ends the membership. With --site it is admin, which may do everything\n" +
			"everywhere and manage users, or none.",
		Example: "  gantry users role ann write\n  gantry users role ann admin --site",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return words, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	})
	organization := orgFlag(cmd, "the organization (default: the only one)")
	site := cmd.Flags().Bool("site", false, "the role for the whole server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, role := args[0], args[1]
		switch {
		case *site && *organization != "":
			return usage(cmd, "--site and --org exclude each other")
		case *site && role != roleAdmin && role != roleNone:
			return usage(cmd, "with --site the role is admin or none, not %q", role)
		case !slices.Contains(words, role):
			return usage(cmd, "%q is not one of %s", role, strings.Join(words, ", "))
		case *site:
			return a.setSiteAdmin(cmd.Context(), name, role == roleAdmin)
		default:
			return a.setRole(cmd.Context(), name, *organization, role)
		}
	}
	return cmd
}

func (a *app) setSiteAdmin(ctx context.Context, name string, admin bool) error {
	return a.withClient(func(c *client.Client) error {
		u, err := c.SetSiteAdmin(ctx, name, admin)
		if err != nil {
			return missing(err, "user %s does not exist. See gantry users list", name)
		}
		return a.show(u, func(t *table) {
			if admin {
				t.line("%s is a site admin now.", u.Username)
			} else {
				t.line("%s is no site admin any more.", u.Username)
			}
		})
	})
}

func (a *app) setRole(ctx context.Context, name, organization, role string) error {
	return a.withClient(func(c *client.Client) error {
		organization, err := a.theOrganization(ctx, c, organization)
		if err != nil {
			return err
		}
		if role == roleNone {
			if err := c.RemoveMember(ctx, organization, name); err != nil {
				return missing(err, "user %s is no member of %s, or the organization does not exist. See gantry users list", name, organization)
			}
			return a.show(client.Member{Username: name, Role: roleNone}, func(t *table) { t.line("%s is no member of %s any more.", name, organization) })
		}
		m, err := c.SetMember(ctx, organization, name, role)
		if err != nil {
			return missing(err, "user %s or organization %s does not exist. See gantry users list and gantry organizations list", name, organization)
		}
		return a.show(m, func(t *table) { t.line("%s has the role %s in %s now.", m.Username, m.Role, organization) })
	})
}

func (a *app) usersPasswordCommand() *cobra.Command {
	var file string
	cmd := a.outputs(&cobra.Command{
		Use: "password [NAME]", Short: "Change a password: your own, or as a site admin another's",
		Long: "Without NAME it is your own, and the present one is asked for first. The user's sessions in browsers end, tokens stay\n" +
			"good. Without a terminal the present password (of your own) and the new one are lines of stdin.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "unexpected argument %q", args[1])
			}
			return nil
		},
	})
	cmd.Flags().StringVar(&file, "password-file", "", "file with the new password in its first line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		return a.changePassword(cmd.Context(), name, file)
	}
	return cmd
}

func (a *app) changePassword(ctx context.Context, name, file string) error {
	return a.withClient(func(c *client.Client) error {
		me, err := c.Account(ctx)
		if err != nil {
			return err
		}
		current, own := "", name == "" || strings.EqualFold(name, me.Username)
		if own {
			name = me.Username
			if current, err = a.askSecret(ctx, "Present password of "+name); err != nil {
				return err
			}
		}
		password, err := a.newPassword(ctx, file, name)
		if err != nil {
			return err
		}
		if err := c.SetPassword(ctx, name, password, current); err != nil {
			return missing(err, "user %s does not exist. See gantry users list", name)
		}
		return a.show(map[string]string{"username": name}, func(t *table) {
			t.line("The password of %s is changed, and their sessions in browsers are over.", name)
		})
	})
}

func (a *app) usersDeleteCommand() *cobra.Command {
	var yes bool
	cmd := a.outputs(&cobra.Command{
		Use: "delete NAME", Short: "Delete a user, with tokens and memberships", Args: exactly("NAME"),
		Long: "What the user did stays in the history of runs, and so the name is not given again.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.deleteUser(cmd.Context(), args[0], yes) },
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) deleteUser(ctx context.Context, name string, yes bool) error {
	return a.withClient(func(c *client.Client) error {
		u, err := c.User(ctx, name)
		if err != nil {
			return missing(err, "user %s does not exist. See gantry users list", name)
		}
		if err := a.confirm(ctx, yes, fmt.Sprintf("Delete user %s, with all tokens and memberships?", u.Username)); err != nil {
			return err
		}
		if err := c.DeleteUser(ctx, u.Username); err != nil {
			return err
		}
		return a.show(u, func(t *table) { t.line("Deleted user %s.", u.Username) })
	})
}
