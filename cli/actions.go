package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

// runActions are the commands that ask a run for something and do not wait for it.
func (a *app) runActions() []*cobra.Command {
	return []*cobra.Command{
		a.runAction("apply", "Approve a run that is planned", "Run %s is approved. Follow it with gantry runs logs -f %[1]s", (*client.Client).ApplyRun),
		a.runAction("discard", "Give up a run that is planned or pending", "Run %s is discarded.", (*client.Client).DiscardRun),
		a.runAction("cancel", "Ask a run to stop; Terraform saves its state", "Run %s is asked to stop. Follow it with gantry runs logs -f %[1]s", (*client.Client).CancelRun),
	}
}

func (a *app) runAction(name, short, done string, act func(*client.Client, context.Context, string) error) *cobra.Command {
	return a.outputs(&cobra.Command{
		Use: name + " ID", Short: short, Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, id := cmd.Context(), args[0]
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if err := act(c, ctx, id); err != nil {
				return missing(err, noRun, id)
			}
			run, n, err := findRun(ctx, c, id)
			if err != nil {
				return err
			}
			return a.show(viewRun(c, n, run), func(w io.Writer) { fmt.Fprintf(w, done+"\n", id) })
		},
	})
}
