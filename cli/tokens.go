package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) tokensCommand() *cobra.Command {
	return a.connects(group("tokens", "Create, list and revoke tokens of people and their scripts",
		a.tokensNewCommand(),
		a.outputs(&cobra.Command{
			Use: "list", Short: "List tokens, without their secrets", Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listTokens(cmd.Context()) },
		}),
		a.outputs(&cobra.Command{
			Use: "revoke ID", Short: "Make a token worthless at once", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.revokeToken(cmd.Context(), args[0]) },
		})))
}

func (a *app) tokensNewCommand() *cobra.Command {
	var life time.Duration
	cmd := a.outputs(&cobra.Command{
		Use: "new DESCRIPTION", Short: "Create a token and print it, once", Args: exactly("DESCRIPTION"),
		Long: "Creates a token and prints it alone on stdout, once: it cannot be shown again. DESCRIPTION says whose it is or what\n" +
			"for; it is the name under which its holder's approvals are shown.",
		Example: "  gantry tokens new ci --expires-in 720h > ci-token",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && life < time.Second {
				return usage(cmd, "--expires-in %s is not a life, such as 720h", life)
			}
			return a.newToken(cmd.Context(), args[0], life)
		},
	})
	cmd.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, for example 720h (default: until it is revoked)")
	return cmd
}

func (a *app) newToken(ctx context.Context, description string, life time.Duration) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	created, err := c.CreateToken(ctx, description, life)
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
		t.head("ID", "DESCRIPTION", "CREATED", "EXPIRES")
		for _, one := range all {
			expires := any("never")
			if one.ExpiresAt != nil {
				expires = *one.ExpiresAt
			}
			t.row(one.ID, one.Description, one.CreatedAt, expires)
		}
	})
}

func (a *app) revokeToken(ctx context.Context, id string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
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
