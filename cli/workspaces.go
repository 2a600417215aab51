package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

// workspaceName is ORG/NAME.
type workspaceName struct{ organization, name string }

func (n workspaceName) String() string { return n.organization + "/" + n.name }

func parseWorkspace(text string) (workspaceName, error) {
	organization, name, ok := strings.Cut(text, "/")
	if !ok || organization == "" || name == "" || strings.Contains(name, "/") {
		return workspaceName{}, fmt.Errorf("%q is not a workspace: write ORGANIZATION/NAME, for example default/network", text)
	}
	if err := validName("organization", organization); err != nil {
		return workspaceName{}, err
	}
	return workspaceName{organization, name}, validName("workspace", name)
}

// validName refuses what the server would refuse, before anything is sent.
func validName(kind, name string) error {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	if len(name) == 0 || len(name) > 90 || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("%q is not a valid %s name: use 1 to 90 letters, digits, _ and -", name, kind)
	}
	return nil
}

// findWorkspace returns the workspace, or says whether it or its organization is missing.
func findWorkspace(ctx context.Context, c *client.Client, n workspaceName) (client.Workspace, error) {
	w, err := c.Workspace(ctx, n.organization, n.name)
	if !client.NotFound(err) {
		return w, err
	}
	if err := findOrganization(ctx, c, n.organization); err != nil {
		return w, err
	}
	return w, missing(err, "workspace %s does not exist. See gantry workspaces list %s, or create it with gantry workspaces new %s",
		n, n.organization, n)
}

func findOrganization(ctx context.Context, c *client.Client, name string) error {
	_, err := c.Organization(ctx, name)
	return missing(err, "organization %q does not exist, or the token may not see it. "+
		"Create it with gantry organizations new %s, or see gantry organizations list", name, name)
}

func (a *app) workspacesCommand() *cobra.Command {
	return a.connects(group("workspaces", "List, show, create, change, lock and delete workspaces",
		a.outputs(&cobra.Command{
			Use: "list ORG", Short: "List the workspaces of an organization", Args: exactly("ORG"), ValidArgsFunction: a.completeOrganizations,
			RunE: func(cmd *cobra.Command, args []string) error { return a.listWorkspaces(cmd, args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "show ORG/NAME", Short: "Show a workspace", Args: exactly("ORG/NAME"), ValidArgsFunction: a.completeWorkspaces,
			RunE: func(cmd *cobra.Command, args []string) error { return a.showWorkspace(cmd.Context(), args[0]) },
		}),
		a.workspaceNewCommand(), a.workspaceEditCommand(), a.workspaceDeleteCommand(), a.workspaceLockCommand(), a.workspaceUnlockCommand()))
}

// workspaceView is a workspace as -o json shows it.
type workspaceView struct {
	client.Workspace
	Organization string                     `json:"organization"`
	Execution    *client.ExecutionDocuments `json:"execution,omitempty"`
}

func viewWorkspace(w client.Workspace, organization string) workspaceView {
	w.Organization = "" // shown once
	return workspaceView{Workspace: w, Organization: organization}
}

func (a *app) listWorkspaces(cmd *cobra.Command, organization string) error {
	if err := validName("organization", organization); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Workspaces(cmd.Context(), organization)
	if client.NotFound(err) {
		err = findOrganization(cmd.Context(), c, organization)
	}
	if err != nil {
		return err
	}
	views := make([]workspaceView, len(all))
	for i, w := range all {
		views[i] = viewWorkspace(w, organization)
	}
	return a.show(views, func(t *table) {
		t.head("NAME", "ID", "TERRAFORM", "LOCKED", "CREATED")
		for _, w := range all {
			t.row(w.Name, w.ID, w.TerraformVersion, yesNo(w.Locked), w.CreatedAt)
		}
	})
}

func (a *app) showWorkspace(ctx context.Context, text string) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		e, err := c.Execution(ctx, w.ID)
		if err != nil {
			return err
		}
		view := viewWorkspace(w, n.organization)
		view.Execution = &e
		return a.show(view, func(t *table) {
			t.row("Workspace:", n)
			t.row("ID:", w.ID)
			t.row("Description:", w.Description)
			t.row("Runs:", executionText(e.Effective))
			t.row("Terraform:", w.TerraformVersion)
			t.row("Folder:", e.Effective.Workdir)
			t.row("Timeouts:", timeoutsText(e.Effective.Timeouts))
			t.row("Auto-apply:", yesNo(w.AutoApply))
			t.row("Locked:", lockText(w))
			t.row("Current run:", w.CurrentRunID)
			t.row("Created:", w.CreatedAt)
		})
	})
}

func lockText(w client.Workspace) string {
	if w.Locked && w.LockedReason != "" {
		return "yes: " + w.LockedReason
	}
	return yesNo(w.Locked)
}

// withWorkspace looks the workspace of that name up and does something with it.
func (a *app) withWorkspace(ctx context.Context, text string, do func(*client.Client, workspaceName, client.Workspace) error) error {
	n, err := parseWorkspace(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := findWorkspace(ctx, c, n)
	if err != nil {
		return err
	}
	return do(c, n, w)
}
