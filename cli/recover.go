package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

// stateAside is TFE's status of a state that was kept aside.
const stateAside = "discarded"

func (a *app) runsRecoverCommand() *cobra.Command {
	var force bool
	var comment string
	cmd := a.outputs(&cobra.Command{
		Use: "recover ID", Short: "Look into a run whose outcome is unknown, and unlock its workspace", Args: exactly("ID"),
		Long: "Starts a recovery of a run whose runner was lost in its apply: a refresh-only plan that compares the saved state with\n" +
			"reality. The workspace stays locked meanwhile, and if the lost runner still sends its result, that counts and the recovery\n" +
			"is withdrawn. Approve the recovery (gantry runs apply) to save what it found and to unlock the workspace, even if it found\n" +
			"no difference; discard it to leave all as it is.\n\n" +
			"What the lost apply created without saving it in a state is not found by a refresh: read its log, and import that.\n\n" +
			"With --force a runner that contact was lost to is given up now, instead of being waited for. Make sure that it is gone:\n" +
			"after the approval nothing stops it from changing things, only from saving a state.",
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.recoverRun(cmd.Context(), args[0], comment, force)
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "do not wait any longer for a runner that contact was lost to")
	cmd.Flags().StringVar(&comment, "comment", "", "why, kept with the recovery")
	return cmd
}

func (a *app) recoverRun(ctx context.Context, id, comment string, force bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	recovery, err := c.RecoverRun(ctx, id, comment, force)
	if err != nil {
		return missing(err, noRun, id)
	}
	_, n, err := findRun(ctx, c, recovery.ID)
	if err != nil {
		return err
	}
	return a.show(viewRun(c, n, recovery), func(t *table) {
		t.line("Run %s looks into what %s left in workspace %s. Follow it with gantry runs logs -f %[1]s", recovery.ID, id, n)
		t.line("Then gantry runs apply %s saves what it found and unlocks the workspace.", recovery.ID)
	})
}

// tellCondition shows what is known of a lost runner; nothing for nil.
func tellCondition(t *table, c *client.Condition) {
	if c == nil {
		return
	}
	t.row("Condition:", strings.ReplaceAll(c.Name, "_", " ")+bracketed(c.Reason))
	t.row("Lost runner:", fmt.Sprintf("attempt %s on %s, epoch %d", c.AttemptID, c.Holder, c.Epoch))
	t.row("Last contact:", moment(c.LastContact))
	t.row("Last event:", c.LastEvent+bracketed(moment(c.LastEventAt)))
	switch {
	case c.LastState != nil:
		t.row("Last state:", fmt.Sprintf("serial %d, %s%s", c.LastState.Serial, c.LastStateID, bracketed(moment(c.LastStateAt))))
	default:
		t.row("Last state:", "none: it saved no state")
	}
	if c.KeptAside > 0 {
		t.row("Kept aside:", fmt.Sprintf("%d, see gantry state list ORG/NAME --aside", c.KeptAside))
	}
	if c.Recovery != "" {
		t.row("Recovery:", c.Recovery)
	}
	t.row("Next step:", c.NextStep)
}

func bracketed(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func moment(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

func (a *app) statePromoteCommand() *cobra.Command {
	var force bool
	cmd := a.outputs(&cobra.Command{
		Use: "promote ORG/NAME SV", Short: "Make a state that was kept aside the current one", Args: exactly("ORG/NAME", "SV"),
		Long: "Makes state version SV, which a lost runner stored too late (see gantry state list --aside), the current state, under a\n" +
			"serial that follows. Look at it first: gantry state show ORG/NAME --version SV. Refused if the current state was made by\n" +
			"something that SV does not know of; --force does it all the same.",
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.promoteState(cmd.Context(), args[0], args[1], force)
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if the current state would be forgotten")
	return cmd
}

func (a *app) promoteState(ctx context.Context, text, id string, force bool) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		if _, err := findState(ctx, c, n, w, id); err != nil {
			return err
		}
		v, err := c.PromoteState(ctx, id, force)
		switch {
		case client.HasCode(err, messages.CodeStateConflict):
			return &Exit{Code: ExitFailure, Message: fmt.Sprintf("the state of workspace %s was not changed: %s. See gantry state show %[1]s --version %[3]s", n, reason(err), id)}
		case err != nil:
			return stateRefused(err, n, true)
		}
		return a.show(viewState(v, v.ID), func(t *table) {
			t.line("%s is the state of workspace %s now: %s, serial %d.", id, n, v.ID, v.Serial)
			t.line("See what Terraform would do about it with gantry run -w %s --plan-only", n)
		})
	})
}
