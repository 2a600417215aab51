package cli

import "github.com/spf13/cobra"

// adminCommand holds what only whoever runs the server needs.
func (a *app) adminCommand() *cobra.Command {
	return group("admin", "Look after the server itself", a.deadLettersCommand())
}
