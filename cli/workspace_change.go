package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

// workspaceSettings are the flags of new and edit.
type workspaceSettings struct {
	description      string
	autoApply        bool
	terraformVersion string
	workingDirectory string
	executionFile    string
}

func (s *workspaceSettings) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.description, "description", "", "what the workspace is for")
	f.BoolVar(&s.autoApply, "auto-apply", false, "apply every plan with changes without asking")
	f.StringVar(&s.terraformVersion, "terraform-version", "", `version or constraint, such as 1.11.4 or "~> 1.11"; "latest" for what is there`)
	f.StringVar(&s.workingDirectory, "working-directory", "", "folder inside the configuration that is planned and applied")
	f.StringVar(&s.executionFile, "execution", "", "JSON file with the execution document (where and with what runs are carried out, timeouts), or - for stdin")
	_ = cmd.MarkFlagFilename("execution", "json")
}

// change is what was said on the command line; what was not said stays as it is.
func (s *workspaceSettings) change(cmd *cobra.Command) (client.WorkspaceChange, error) {
	var out client.WorkspaceChange
	for _, flag := range []string{"terraform-version", "working-directory"} {
		if s.executionFile != "" && cmd.Flags().Changed(flag) {
			return out, usage(cmd, "--execution and --%s exclude each other: the document has a field for it", flag)
		}
	}
	for flag, field := range map[string]struct {
		value *string
		to    **string
	}{
		"description":       {&s.description, &out.Description},
		"terraform-version": {&s.terraformVersion, &out.TerraformVersion},
		"working-directory": {&s.workingDirectory, &out.WorkingDirectory},
	} {
		if cmd.Flags().Changed(flag) {
			*field.to = field.value
		}
	}
	if cmd.Flags().Changed("auto-apply") {
		out.AutoApply = &s.autoApply
	}
	return out, nil
}

func (a *app) workspaceNewCommand() *cobra.Command {
	var s workspaceSettings
	cmd := a.outputs(&cobra.Command{
		Use: "new ORG/NAME", Short: "Create a workspace", Args: exactly("ORG/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			with, err := s.change(cmd)
			if err != nil {
				return err
			}
			return a.newWorkspace(cmd.Context(), args[0], with, s.executionFile)
		},
	})
	s.flags(cmd)
	return cmd
}

func (a *app) newWorkspace(ctx context.Context, text string, with client.WorkspaceChange, executionFile string) error {
	n, err := parseWorkspace(text)
	if err != nil {
		return err
	}
	execution, err := a.readExecution(executionFile)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.CreateWorkspaceWith(ctx, n.organization, n.name, with)
	switch {
	case client.HasCode(err, messages.CodeNameTaken):
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf("workspace %s exists already. Change it with gantry workspaces edit %s", n, n)}
	case client.NotFound(err):
		return findOrganization(ctx, c, n.organization)
	case err != nil:
		return err
	}
	if execution != nil {
		if _, err := c.PutExecution(ctx, w.ID, *execution); err != nil {
			return fmt.Errorf("workspace %s was created, but its execution document was refused: %w. "+
				"Correct it and use gantry workspaces edit %s --execution FILE", n, err, n)
		}
	}
	return a.show(viewWorkspace(w, n.organization), func(t *table) { t.line("Created workspace %s.", n) })
}

func (a *app) workspaceEditCommand() *cobra.Command {
	var s workspaceSettings
	cmd := a.outputs(&cobra.Command{
		Use: "edit ORG/NAME", Short: "Change a workspace; what is not named stays as it is", Args: exactly("ORG/NAME"),
		Long: "Changes a workspace; what is not named stays as it is. --auto-apply=false takes it back. --execution replaces the whole\n" +
			"execution document. Runs that exist already keep what they were created with.",
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := s.change(cmd)
			if err != nil {
				return err
			}
			if change == (client.WorkspaceChange{}) && s.executionFile == "" {
				return usage(cmd, "nothing to change: give --description, --auto-apply, --terraform-version, --working-directory or --execution")
			}
			return a.editWorkspace(cmd.Context(), args[0], change, s.executionFile)
		},
	})
	s.flags(cmd)
	return cmd
}

func (a *app) editWorkspace(ctx context.Context, text string, change client.WorkspaceChange, executionFile string) error {
	execution, err := a.readExecution(executionFile)
	if err != nil {
		return err
	}
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		if execution != nil {
			if _, err := c.PutExecution(ctx, w.ID, *execution); err != nil {
				return fmt.Errorf("the execution document of workspace %s: %w. Nothing was changed", n, err)
			}
		}
		if change != (client.WorkspaceChange{}) {
			if w, err = c.UpdateWorkspace(ctx, w.ID, change); err != nil {
				return fmt.Errorf("workspace %s: %w", n, err)
			}
		}
		return a.show(viewWorkspace(w, n.organization), func(t *table) { t.line("Changed workspace %s.", n) })
	})
}

func (a *app) workspaceDeleteCommand() *cobra.Command {
	var yes, force bool
	cmd := a.outputs(&cobra.Command{
		Use: "delete ORG/NAME", Short: "Delete a workspace with its runs and states", Args: exactly("ORG/NAME"),
		Long: "Deletes a workspace with its runs and states. One that still manages resources, or is locked, is refused: destroy them\n" +
			"first with gantry run --destroy, or leave them behind, managed by nobody, with --force.",
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.deleteWorkspace(cmd.Context(), args[0], yes, force)
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&force, "force", false, "even if it manages resources, which nobody manages then")
	return cmd
}

func (a *app) deleteWorkspace(ctx context.Context, text string, yes, force bool) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		question := fmt.Sprintf("Delete workspace %s with its runs and states?", n)
		if force {
			question = fmt.Sprintf("Delete workspace %s with its runs and states, and leave its resources behind?", n)
		}
		if err := a.confirm(ctx, yes, question); err != nil {
			return err
		}
		err := c.DeleteWorkspace(ctx, w.ID, force)
		switch {
		case conflict(err) && !force:
			hint := ""
			if client.HasCode(err, messages.CodeConflict) { // it has resources
				hint = ". Destroy them with gantry run --destroy, or leave them behind, managed by nobody, with --force"
			}
			return &Exit{Code: ExitFailure, Message: reason(err) + hint}
		case err != nil:
			return fmt.Errorf("workspace %s: %w", n, err)
		}
		return a.show(viewWorkspace(w, n.organization), func(t *table) { t.line("Deleted workspace %s.", n) })
	})
}
