package cli

import (
	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) organizationsCommand() *cobra.Command {
	return a.connects(group("organizations", "Create and list organizations",
		a.outputs(&cobra.Command{
			Use: "list", Short: "List the organizations the token may see", Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listOrganizations(cmd) },
		}),
		a.outputs(&cobra.Command{
			Use: "new NAME", Short: "Create an organization", Args: exactly("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.newOrganization(cmd, args[0]) },
		})))
}

func (a *app) listOrganizations(cmd *cobra.Command) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Organizations(cmd.Context())
	if err != nil {
		return err
	}
	return a.show(all, func(t *table) {
		t.head("NAME", "CREATED")
		for _, o := range all {
			t.row(o.Name, o.CreatedAt)
		}
	})
}

func (a *app) newOrganization(cmd *cobra.Command, name string) error {
	if err := validName("organization", name); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	o, err := c.CreateOrganization(cmd.Context(), name)
	if client.HasCode(err, messages.CodeNameTaken) {
		return &Exit{Code: ExitFailure, Message: "organization \"" + name + "\" exists already. See gantry organizations list"}
	}
	if err != nil {
		return err
	}
	return a.show(o, func(t *table) { t.line("Created organization %s.", o.Name) })
}
