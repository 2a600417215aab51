package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) workspaceLockCommand() *cobra.Command {
	var reason string
	cmd := a.outputs(&cobra.Command{
		Use: "lock ORG/NAME", Short: "Keep further runs from starting; one that has begun goes on", Args: exactly("ORG/NAME"),
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeLock(cmd.Context(), args[0], "Locked workspace %s. Runs wait until gantry workspaces unlock %[1]s",
				func(c *client.Client, ctx context.Context, id string) error { return c.LockWorkspace(ctx, id, reason) },
				"See who holds it with gantry workspaces show")
		},
	})
	cmd.Flags().StringVar(&reason, "reason", "", "shown to everybody who wonders why runs wait")
	return cmd
}

func (a *app) workspaceUnlockCommand() *cobra.Command {
	var force bool
	cmd := a.outputs(&cobra.Command{
		Use: "unlock ORG/NAME", Short: "Let runs start again", Args: exactly("ORG/NAME"),
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeLock(cmd.Context(), args[0], "Unlocked workspace %s.",
				func(c *client.Client, ctx context.Context, id string) error { return c.UnlockWorkspace(ctx, id, force) },
				"Somebody else's lock is taken away with --force")
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if somebody else locked it")
	return cmd
}

func (a *app) changeLock(ctx context.Context, text, done string,
	change func(c *client.Client, ctx context.Context, id string) error, hint string,
) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		err := change(c, ctx, w.ID)
		if conflict(err) {
			return &Exit{Code: ExitFailure, Message: reason(err) + ". " + hint}
		}
		if err != nil {
			return fmt.Errorf("workspace %s: %w", n, err)
		}
		if w, err = c.WorkspaceByID(ctx, w.ID); err != nil {
			return err
		}
		return a.show(viewWorkspace(w, n.organization), func(t *table) { t.line(done, n) })
	})
}
