package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) organizationsCommand() *cobra.Command {
	return a.connects(group("organizations", "Create, list, show and change organizations",
		a.outputs(&cobra.Command{
			Use: "list", Short: "List the organizations the token may see", Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.listOrganizations(cmd) },
		}),
		a.outputs(&cobra.Command{
			Use: "new NAME", Short: "Create an organization", Args: exactly("NAME"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.newOrganization(cmd, args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "show NAME", Short: "Show an organization and the defaults of its workspaces", Args: exactly("NAME"),
			ValidArgsFunction: a.completeOrganizations,
			RunE:              func(cmd *cobra.Command, args []string) error { return a.showOrganization(cmd.Context(), args[0]) },
		}),
		a.organizationEditCommand()))
}

// organizationView is an organization as -o json shows it.
type organizationView struct {
	client.Organization
	Execution client.ExecutionDocuments `json:"execution"`
}

func (a *app) showOrganization(ctx context.Context, name string) error {
	return a.withOrganization(ctx, name, func(c *client.Client, o client.Organization) error {
		e, err := c.OrganizationExecution(ctx, o.Name)
		if err != nil {
			return err
		}
		return a.show(organizationView{o, e}, func(t *table) {
			t.row("Organization:", o.Name)
			t.row("ID:", o.ExternalID)
			t.row("Runs:", executionText(e.Effective))
			t.row("Timeouts:", timeoutsText(e.Effective.Timeouts))
			t.row("Created:", o.CreatedAt)
		})
	})
}

func (a *app) organizationEditCommand() *cobra.Command {
	var executionFile string
	cmd := a.outputs(&cobra.Command{
		Use: "edit NAME", Short: "Change the defaults of an organization's workspaces", Args: exactly("NAME"),
		Long: "Replaces the organization's default execution document: what its workspaces do not say in their own. Runs that exist\n" +
			"already keep what they were created with.",
		ValidArgsFunction: a.completeOrganizations,
		RunE: func(cmd *cobra.Command, args []string) error {
			if executionFile == "" {
				return usage(cmd, "nothing to change: give --execution")
			}
			return a.editOrganization(cmd.Context(), args[0], executionFile)
		},
	})
	cmd.Flags().StringVar(&executionFile, "execution", "", "JSON file with the default execution document, or - for stdin")
	_ = cmd.MarkFlagFilename("execution", "json")
	return cmd
}

func (a *app) editOrganization(ctx context.Context, name, executionFile string) error {
	doc, err := a.readExecution(executionFile)
	if err != nil {
		return err
	}
	return a.withOrganization(ctx, name, func(c *client.Client, o client.Organization) error {
		e, err := c.PutOrganizationExecution(ctx, o.Name, *doc)
		if err != nil {
			return fmt.Errorf("organization %s was not changed: %w", o.Name, err)
		}
		return a.show(organizationView{o, e}, func(t *table) { t.line("Changed the defaults of organization %s.", o.Name) })
	})
}

// withOrganization looks the organization up and does something with it.
func (a *app) withOrganization(ctx context.Context, name string, do func(*client.Client, client.Organization) error) error {
	if err := validName("organization", name); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	o, err := c.Organization(ctx, name)
	if client.NotFound(err) {
		return findOrganization(ctx, c, name)
	}
	if err != nil {
		return err
	}
	return do(c, o)
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
		t.head("NAME", "ID", "CREATED")
		for _, o := range all {
			t.row(o.Name, o.ExternalID, o.CreatedAt)
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
