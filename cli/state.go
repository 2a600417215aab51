package cli

import (
	"github.com/spf13/cobra"
)

func (a *app) stateCommand() *cobra.Command {
	return a.connects(group("state", "Read the state of a workspace", &cobra.Command{
		Use: "pull ORG/NAME", Short: "Print the current state as Terraform wrote it", Args: exactly("ORG/NAME"),
		Long: "Prints the current state of the workspace, in Terraform's own JSON. A state holds secrets: mind where it goes.",
		RunE: func(cmd *cobra.Command, args []string) error { return a.pullState(cmd, args[0]) },
	}))
}

func (a *app) pullState(cmd *cobra.Command, text string) error {
	n, err := parseWorkspace(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx := cmd.Context()
	w, err := findWorkspace(ctx, c, n)
	if err != nil {
		return err
	}
	version, err := c.CurrentState(ctx, w.ID)
	if err != nil {
		return missing(err, "workspace %s has no state yet: nothing was applied in it. Start with gantry run -w %s", n, n)
	}
	state, err := c.DownloadState(ctx, version)
	if err != nil {
		return err
	}
	_, err = a.env.Stdout.Write(state)
	return err
}
