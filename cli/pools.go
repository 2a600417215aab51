package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) poolsCommand() *cobra.Command {
	edit := a.poolChangeCommand("edit ORG/POOL", "Change a pool; what is not named stays as it is", a.editPool)
	edit.Flags().String("name", "", "another name")
	return a.connects(group("pools", "Create, list, show, change and delete pools of agents, and their tokens",
		a.outputs(&cobra.Command{
			Use: "list ORG", Short: "List the pools of an organization", Args: exactly("ORG"), ValidArgsFunction: a.completeOrganizations,
			RunE: func(cmd *cobra.Command, args []string) error { return a.listPools(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "show ORG/POOL", Short: "Show a pool", Args: exactly("ORG/POOL"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.showPool(cmd.Context(), args[0]) },
		}),
		a.poolChangeCommand("new ORG/POOL", "Create a pool", a.newPool), edit,
		a.outputs(&cobra.Command{
			Use: "delete ORG/POOL", Short: "Delete a pool that nothing uses, with its tokens", Args: exactly("ORG/POOL"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.deletePool(cmd.Context(), args[0]) },
		}),
		a.poolTokensCommand()))
}

// poolChangeCommand is a command that takes what of a pool can be set.
func (a *app) poolChangeCommand(use, short string, do func(*cobra.Command, string, client.AgentPoolChange, []string) error) *cobra.Command {
	var only []string
	var all bool
	var lease time.Duration
	cmd := a.outputs(&cobra.Command{
		Use: use, Short: short, Args: exactly("ORG/POOL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var change client.AgentPoolChange
			chosen := cmd.Flags().Changed("workspace")
			if chosen && all {
				return usage(cmd, "--workspace and --all-workspaces exclude each other")
			}
			if chosen || all {
				change.OrganizationScoped = &all
			}
			if cmd.Flags().Changed("lease-ttl") {
				if lease < 0 || lease%time.Second != 0 {
					return usage(cmd, "--lease-ttl %s: want whole seconds, such as 30s, or 0 for the server's", lease)
				}
				seconds := int(lease / time.Second)
				change.LeaseTTLSeconds = &seconds
			}
			return do(cmd, args[0], change, only)
		},
	})
	cmd.Flags().StringSliceVar(&only, "workspace", nil, "names of the only workspaces that may use it, separated by commas (default: all of the organization)")
	cmd.Flags().BoolVar(&all, "all-workspaces", false, "all workspaces of the organization may use it")
	cmd.Flags().DurationVar(&lease, "lease-ttl", 0, "how long an agent may be silent until its runs count as without contact, 5s to 5m; 0 for the server's --lease-ttl")
	return cmd
}

// chosen adds the workspaces of these names to the change.
func chosen(ctx context.Context, c *client.Client, organization string, names []string, change *client.AgentPoolChange) error {
	if len(names) == 0 {
		return nil
	}
	ids := make([]string, len(names))
	for i, name := range names {
		w, err := findWorkspace(ctx, c, workspaceName{organization, strings.TrimPrefix(name, organization+"/")})
		if err != nil {
			return err
		}
		ids[i] = w.ID
	}
	change.Workspaces = &ids
	return nil
}

func parsePool(text string) (organization, name string, err error) {
	organization, name, ok := strings.Cut(text, "/")
	if !ok || organization == "" || name == "" {
		return "", "", fmt.Errorf("%q is not a pool: write ORGANIZATION/POOL, for example default/aws", text)
	}
	if err := validName("organization", organization); err != nil {
		return "", "", err
	}
	return organization, name, validName("pool", name)
}

// withPool looks the pool up, by name, number or id, and does something with it.
func (a *app) withPool(ctx context.Context, text string, do func(*client.Client, client.AgentPool) error) error {
	organization, name, err := parsePool(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.AgentPools(ctx, organization)
	if client.NotFound(err) {
		return findOrganization(ctx, c, organization)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p client.AgentPool) bool {
		return strings.EqualFold(p.Name, name) || p.ID == name || strconv.FormatInt(p.Number, 10) == name
	})
	if i < 0 {
		return fmt.Errorf("pool %s does not exist. See gantry pools list %s, or create it with gantry pools new %s", text, organization, text)
	}
	return do(c, all[i])
}

func (a *app) newPool(cmd *cobra.Command, text string, change client.AgentPoolChange, only []string) error {
	organization, name, err := parsePool(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	change.Name = &name
	if err := chosen(cmd.Context(), c, organization, only, &change); err != nil {
		return err
	}
	p, err := c.CreateAgentPool(cmd.Context(), organization, change)
	if client.NotFound(err) {
		return findOrganization(cmd.Context(), c, organization)
	}
	if err != nil {
		return err
	}
	return a.show(p, func(t *table) {
		t.line("Created pool %s/%s, number %d. Its agents need a token: gantry pools tokens new %[1]s/%[2]s", organization, p.Name, p.Number)
	})
}

func (a *app) editPool(cmd *cobra.Command, text string, change client.AgentPoolChange, only []string) error {
	if cmd.Flags().Changed("name") {
		name := cmd.Flag("name").Value.String()
		change.Name = &name
	}
	if change.Name == nil && change.OrganizationScoped == nil && change.LeaseTTLSeconds == nil {
		return usage(cmd, "nothing to change: give --name, --workspace, --all-workspaces or --lease-ttl")
	}
	organization, _, err := parsePool(text)
	if err != nil {
		return err
	}
	return a.withPool(cmd.Context(), text, func(c *client.Client, p client.AgentPool) error {
		if err := chosen(cmd.Context(), c, organization, only, &change); err != nil {
			return err
		}
		p, err := c.UpdateAgentPool(cmd.Context(), p.ID, change)
		if err != nil {
			return err
		}
		return a.show(p, func(t *table) { t.line("Changed pool %s/%s.", organization, p.Name) })
	})
}

func (a *app) listPools(ctx context.Context, organization string) error {
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		all, err := c.AgentPools(ctx, o.Name)
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("NAME", "NUMBER", "ID", "AGENTS", "FOR", "CREATED")
			for _, p := range all {
				t.row(p.Name, p.Number, p.ID, p.AgentCount, poolScope(p), p.CreatedAt)
			}
		})
	})
}

func leaseTTL(p client.AgentPool) string {
	if p.LeaseTTLSeconds == 0 {
		return "the server's"
	}
	return (time.Duration(p.LeaseTTLSeconds) * time.Second).String()
}

func poolScope(p client.AgentPool) string {
	switch n := len(p.AllowedIDs); {
	case p.OrganizationScoped:
		return "all workspaces"
	case n == 1:
		return "1 workspace"
	default:
		return fmt.Sprintf("%d workspaces", n)
	}
}

func (a *app) showPool(ctx context.Context, text string) error {
	return a.withPool(ctx, text, func(_ *client.Client, p client.AgentPool) error {
		return a.show(p, func(t *table) {
			t.row("Pool:", text)
			t.row("ID:", p.ID)
			t.row("Number:", p.Number)
			t.row("Agents:", p.AgentCount)
			t.row("For:", poolScope(p))
			t.row("Lease TTL:", leaseTTL(p))
			t.row("Workspaces that name it:", len(p.WorkspaceIDs))
			t.row("Created:", p.CreatedAt)
		})
	})
}

func (a *app) deletePool(ctx context.Context, text string) error {
	return a.withPool(ctx, text, func(c *client.Client, p client.AgentPool) error {
		if err := c.DeleteAgentPool(ctx, p.ID); err != nil {
			return fmt.Errorf("pool %s was not deleted: %w", text, err)
		}
		return a.show(p, func(t *table) { t.line("Deleted pool %s.", text) })
	})
}

func (a *app) poolTokensCommand() *cobra.Command {
	var life time.Duration
	var description string
	create := a.outputs(&cobra.Command{
		Use: "new ORG/POOL", Short: "Create a token for agents of a pool and print it, once", Args: exactly("ORG/POOL"),
		Long: "Creates a token and prints it alone on stdout, once: it cannot be shown again. Any number of agents may use it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && life < time.Second {
				return usage(cmd, "--expires-in %s is not a life, such as 720h", life)
			}
			return a.newPoolToken(cmd.Context(), args[0], description, life)
		},
	})
	create.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, for example 720h (default: until it is revoked)")
	create.Flags().StringVar(&description, "description", "agents", "what it is for")
	return group("tokens", "Create, list and revoke tokens for agents of a pool", create,
		a.outputs(&cobra.Command{
			Use: "list ORG/POOL", Short: "List the tokens of a pool, without their secrets", Args: exactly("ORG/POOL"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.listPoolTokens(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "revoke ORG/POOL ID", Short: "Make a token worthless; its agents are disconnected within seconds", Args: exactly("ORG/POOL", "ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.revokePoolToken(cmd.Context(), args[0], args[1])
			},
		}))
}

func (a *app) newPoolToken(ctx context.Context, text, description string, life time.Duration) error {
	return a.withPool(ctx, text, func(c *client.Client, p client.AgentPool) error {
		created, err := c.CreateAgentPoolToken(ctx, p.ID, description, life)
		if err != nil {
			return err
		}
		if !a.asJSON() {
			fmt.Fprintf(a.env.Stderr, "Created token %s (%s) of pool %s. It is shown this one time:\n", created.ID, oneLine(created.Description), text)
		}
		return a.show(created, func(t *table) { t.line("%s", created.Secret) })
	})
}

func (a *app) listPoolTokens(ctx context.Context, text string) error {
	return a.withPool(ctx, text, func(c *client.Client, p client.AgentPool) error {
		all, err := c.AgentPoolTokens(ctx, p.ID)
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

func (a *app) revokePoolToken(ctx context.Context, text, id string) error {
	return a.withPool(ctx, text, func(c *client.Client, p client.AgentPool) error {
		all, err := c.AgentPoolTokens(ctx, p.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(t client.AgentPoolToken) bool { return t.ID == id }) {
			return fmt.Errorf("pool %s has no token %s. See gantry pools tokens list %[1]s", text, id)
		}
		if err := c.RevokeAgentPoolToken(ctx, id); err != nil {
			return err
		}
		return a.show(map[string]string{"id": id}, func(t *table) { t.line("Revoked token %s.", id) })
	})
}
