package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

// runAction is a command that asks a run for something and does not wait for it.
type runAction struct {
	name, short, long string
	ask               func(c *client.Client, ctx context.Context, id, comment string) error
	done              string // what is said then, about %s
	// Where there is nothing left to ask for, because somebody else was faster, and what is said then.
	already func(client.RunState) bool
	before  string
}

func (a *app) runActions() []*cobra.Command {
	force := false
	actions := []runAction{
		{
			name: "apply", short: "Approve a run that is planned", ask: (*client.Client).ApplyRun,
			done:    "Run %s is approved. Follow it with gantry runs logs -f %[1]s",
			already: statusIn(client.ApplyQueued, client.Applying, client.Applied),
			before:  "Run %s was approved already. See it with gantry runs show %[1]s",
		},
		{
			name: "discard", short: "Give up a run that is planned or pending", ask: (*client.Client).DiscardRun,
			done:    "Run %s is discarded.",
			already: statusIn(client.Discarded),
			before:  "Run %s was discarded already.",
		},
		{
			name: "cancel", short: "Ask a run to stop; Terraform saves its state",
			long: "Asks a run to stop: Terraform finishes what it is doing, and its state is saved.\n\n" +
				"With --force a run that was asked before is stopped without waiting for that: what an apply was doing may then be\n" +
				"missing in the state, and the workspace stays locked until a person has looked.",
			ask: func(c *client.Client, ctx context.Context, id, comment string) error {
				if force {
					return c.ForceCancelRun(ctx, id, comment)
				}
				return c.CancelRun(ctx, id, comment)
			},
			done:    "Run %s is asked to stop. Follow it with gantry runs logs -f %[1]s",
			already: statusIn(client.Canceled, client.ForceCancel),
			before:  "Run %s was canceled already.",
		},
	}
	commands := make([]*cobra.Command, len(actions))
	for i, action := range actions {
		commands[i] = a.runActionCommand(action)
	}
	commands[2].Flags().BoolVar(&force, "force", false, "do not wait for Terraform any longer; only after a cancel without it")
	return commands
}

func (a *app) runActionCommand(action runAction) *cobra.Command {
	var comment string
	cmd := a.outputs(&cobra.Command{
		Use: action.name + " ID", Short: action.short, Long: action.long, Args: exactly("ID"), ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error { return a.act(cmd.Context(), action, args[0], comment) },
	})
	cmd.Flags().StringVar(&comment, "comment", "", "why, kept with the run")
	return cmd
}

func (a *app) act(ctx context.Context, action runAction, id, comment string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	refused := action.ask(c, ctx, id, comment)
	if refused != nil && !conflict(refused) {
		return missing(refused, noRun, id)
	}
	run, n, err := findRun(ctx, c, id)
	if err != nil {
		return err
	}
	says := action.done
	if refused != nil {
		if !action.already(client.RunState{Status: run.Status}) {
			if action.name == "cancel" && (run.Status == client.Planned || run.Status == client.Saved) {
				refused = fmt.Errorf("%w. Give it up with gantry runs discard %s", refused, id)
			}
			return fmt.Errorf("workspace %s: %w", n, refused)
		}
		says = action.before
	}
	return a.show(viewRun(c, n, run), func(t *table) { t.line(says, id) })
}
