package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) tokensCommand() *cobra.Command {
	return a.connects(group("tokens", "Create, list and revoke tokens of people and their scripts",
		a.tokensNewCommand(),
		a.outputs(&cobra.Command{
			Use: "list", Short: "List tokens, without their secrets", Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listTokens(cmd.Context()) },
		}),
		a.tokensRevokeCommand()))
}

func (a *app) tokensNewCommand() *cobra.Command {
	var create client.NewToken
	cmd := a.outputs(&cobra.Command{
		Use: "new DESCRIPTION", Short: "Create a token and print it, once", Args: exactly("DESCRIPTION"),
		Long: "Creates a token and prints it alone on stdout, once: it cannot be shown again. DESCRIPTION says whose it is or what\n" +
			"for.\n\n" +
			"The token is your own and may do what you may. With --org it is one of the organization, for programs: its holder is\n" +
			"no user, and it may there what --role says.",
		Example: "  gantry tokens new laptop --expires-in 720h\n  gantry tokens new ci --org acme --role plan > ci-token",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && create.Life < time.Second {
				return usage(cmd, "--expires-in %s is not a life, such as 720h", create.Life)
			}
			if create.Role != "" && create.Organization == "" {
				return usage(cmd, "--role needs --org")
			}
			create.Description = args[0]
			return a.newToken(cmd.Context(), create)
		},
	})
	cmd.Flags().DurationVar(&create.Life, "expires-in", 0, "how long it is good, for example 720h (default: until it is revoked)")
	cmd.Flags().StringVar(&create.Organization, "org", "", "make it a token of this organization")
	cmd.Flags().StringVar(&create.Role, "role", "", "what it may there: read, plan, write (default) or admin")
	return cmd
}

func (a *app) newToken(ctx context.Context, create client.NewToken) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	created, err := c.CreateToken(ctx, create)
	if err != nil {
		return err
	}
	if !a.asJSON() {
		fmt.Fprintf(a.env.Stderr, "Created token %s (%s). It is shown this one time:\n", created.ID, oneLine(created.Description))
	}
	return a.show(created, func(t *table) { t.line("%s", created.Secret) })
}

func (a *app) listTokens(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Tokens(ctx)
	if err != nil {
		return err
	}
	return a.show(all, func(t *table) {
		t.head("ID", "DESCRIPTION", "OF", "CREATED", "EXPIRES")
		for _, one := range all {
			t.row(one.ID, one.Description, tokenOwner(one), one.CreatedAt, expiry(one.ExpiresAt))
		}
	})
}

// tokenOwner says who may do what the token may.
func tokenOwner(t client.Token) string {
	switch {
	case t.Organization != "":
		return t.Organization + " (" + t.Role + ")"
	case t.Username != "":
		return t.Username
	default:
		return "site (admin)"
	}
}

func (a *app) tokensRevokeCommand() *cobra.Command {
	var yes bool
	cmd := a.outputs(&cobra.Command{
		Use: "revoke ID", Short: "Make a token worthless at once", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.revokeToken(cmd.Context(), args[0], yes) },
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask, even if it is the last admin token")
	return cmd
}

// lastAdminToken reports whether no other admin token would be left that is good.
func lastAdminToken(all []client.Token, id string) bool {
	is := false
	for _, t := range all {
		switch {
		case t.Kind != "admin":
		case t.ID == id:
			is = true
		case t.ExpiresAt == nil || t.ExpiresAt.After(time.Now()):
			return false
		}
	}
	return is
}

func (a *app) revokeToken(ctx context.Context, id string, yes bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Tokens(ctx)
	if err != nil {
		return err
	}
	if lastAdminToken(all, id) {
		if err := a.confirm(ctx, yes, "This is the last admin token: without a site admin among the users nobody can manage this server any more. Revoke it?"); err != nil {
			return err
		}
	}
	revoked, err := c.RevokeToken(ctx, id)
	if err != nil {
		return missing(err, "token %s does not exist. See gantry tokens list", id)
	}
	return a.show(revoked, func(t *table) {
		t.line("Revoked token %s.", id)
		if revoked.Own {
			t.line("It was the one this command used: log in with another one by gantry login.")
		}
	})
}

// expiry is when a token expires, as tables show it; nil means never.
func expiry(at *time.Time) any {
	if at == nil {
		return "never"
	}
	return *at
}
