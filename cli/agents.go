package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) agentsCommand() *cobra.Command {
	return a.connects(group("agents", "List, show, drain and forget the agents of pools",
		a.outputs(&cobra.Command{
			Use: "list ORG/POOL", Short: "List the agents of a pool", Args: exactly("ORG/POOL"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.listAgents(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "show ID", Short: "Show an agent", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.showAgent(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "drain ID", Short: "Ask an agent to finish what runs, take nothing new, and end", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.changeAgent(cmd.Context(), args[0], "Agent %s drains: it hears of it within seconds, and ends when nothing runs any more.", (*client.Client).DrainAgent)
			},
		}),
		a.outputs(&cobra.Command{
			Use: "forget ID", Short: "Remove an agent that is gone from the lists", Args: exactly("ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.changeAgent(cmd.Context(), args[0], "Forgot agent %s.", (*client.Client).ForgetAgent)
			},
		})))
}

func (a *app) listAgents(ctx context.Context, pool string) error {
	return a.withPool(ctx, pool, func(c *client.Client, p client.AgentPool) error {
		all, err := c.Agents(ctx, p.ID)
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("NAME", "ID", "STATUS", "RUNS", "LABELS", "VERSION", "ADDRESS", "LAST SEEN")
			for _, one := range all {
				t.row(one.Name, one.ID, one.Status, fmt.Sprintf("%d/%d", len(one.Runs), one.Concurrency), strings.Join(one.Labels, ","), one.Version, one.Address, one.LastPingAt)
			}
		})
	})
}

func (a *app) showAgent(ctx context.Context, id string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	one, err := c.Agent(ctx, id)
	if err != nil {
		return missingAgent(err, id)
	}
	return a.show(one, func(t *table) {
		t.row("Agent:", one.Name)
		t.row("ID:", one.ID)
		t.row("Pool:", one.PoolID)
		t.row("Status:", one.Status)
		t.row("Takes nothing:", one.Refusing)
		t.row("Labels:", strings.Join(one.Labels, ", "))
		t.row("Concurrency:", one.Concurrency)
		t.row("Runs:", strings.Join(one.Runs, ", "))
		t.row("Version:", one.Version)
		t.row("Address:", one.Address)
		t.row("Last seen:", one.LastPingAt)
		t.row("First seen:", one.CreatedAt)
	})
}

func (a *app) changeAgent(ctx context.Context, id, done string, do func(*client.Client, context.Context, string) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := do(c, ctx, id); err != nil {
		return missingAgent(err, id)
	}
	return a.show(map[string]string{"id": id}, func(t *table) { t.line(done, id) })
}

func missingAgent(err error, id string) error {
	return missing(err, "agent %s does not exist. See gantry agents list ORG/POOL", id)
}
