package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) varsetsCommand() *cobra.Command {
	return a.connects(group("varsets", "List, show, create, change, assign and delete variable sets",
		a.varsetsListCommand(),
		a.outputs(&cobra.Command{
			Use: "show ORG/NAME", Short: "Show a variable set", Args: exactly("ORG/NAME"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.showVarset(cmd.Context(), args[0]) },
		}),
		a.varsetChangeCommand("new ORG/NAME", "Create a variable set", a.newVarset),
		a.varsetChangeCommand("edit ORG/NAME", "Change a variable set; what is not named stays as it is", a.editVarset),
		a.varsetAssignCommand("assign ORG/NAME WORKSPACE...", "Give a variable set to workspaces", "Assigned", (*client.Client).AssignVariableSet),
		a.varsetAssignCommand("unassign ORG/NAME WORKSPACE...", "Take a variable set from workspaces", "Unassigned", (*client.Client).UnassignVariableSet),
		a.varsetDeleteCommand()))
}

// withVariableSet looks the variable set of that name up and does something with it.
func (a *app) withVariableSet(ctx context.Context, text string, do func(*client.Client, client.VariableSet) error) error {
	organization, name, err := parseVarset(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.VariableSets(ctx, organization)
	if client.NotFound(err) {
		return findOrganization(ctx, c, organization)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(v client.VariableSet) bool { return strings.EqualFold(v.Name, name) })
	if i < 0 {
		return fmt.Errorf("variable set %s does not exist. See gantry varsets list %s, or create it with gantry varsets new %s", text, organization, text)
	}
	return do(c, all[i])
}

func parseVarset(text string) (organization, name string, err error) {
	organization, name, ok := strings.Cut(text, "/")
	if !ok || organization == "" || name == "" {
		return "", "", fmt.Errorf("%q is not a variable set: write ORGANIZATION/NAME, for example default/aws", text)
	}
	return organization, name, validName("organization", organization)
}

func (a *app) varsetsListCommand() *cobra.Command {
	return a.outputs(&cobra.Command{
		Use: "list ORG", Short: "List the variable sets of an organization", Args: exactly("ORG"), ValidArgsFunction: a.completeOrganizations,
		RunE: func(cmd *cobra.Command, args []string) error { return a.listVarsets(cmd.Context(), args[0]) },
	})
}

func (a *app) listVarsets(ctx context.Context, organization string) error {
	if err := validName("organization", organization); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.VariableSets(ctx, organization)
	if client.NotFound(err) {
		err = findOrganization(ctx, c, organization)
	}
	if err != nil {
		return err
	}
	return a.show(all, func(t *table) {
		t.head("NAME", "FOR", "PRIORITY", "VARIABLES", "DESCRIPTION")
		for _, v := range all {
			t.row(v.Name, varsetScope(v), yesNo(v.Priority), len(v.VariableIDs), v.Description)
		}
	})
}

func varsetScope(v client.VariableSet) string {
	switch n := len(v.WorkspaceIDs); {
	case v.Global:
		return "all workspaces"
	case n == 1:
		return "1 workspace"
	default:
		return fmt.Sprintf("%d workspaces", n)
	}
}

func (a *app) showVarset(ctx context.Context, text string) error {
	return a.withVariableSet(ctx, text, func(c *client.Client, v client.VariableSet) error {
		vars, err := c.Variables(ctx, client.VariableHolder{VariableSetID: v.ID})
		if err != nil {
			return err
		}
		names := []string{}
		for _, id := range v.WorkspaceIDs {
			w, err := c.WorkspaceByID(ctx, id)
			if err != nil {
				return err
			}
			names = append(names, w.Name)
		}
		view := struct {
			client.VariableSet
			Workspaces []string          `json:"workspaces"`
			Variables  []client.Variable `json:"variables"`
		}{v, names, vars}
		return a.show(view, func(t *table) {
			t.row("Variable set:", text)
			t.row("ID:", v.ID)
			t.row("Description:", v.Description)
			t.row("For:", varsetScope(v))
			t.row("Workspaces:", strings.Join(names, " "))
			t.row("Priority:", yesNo(v.Priority))
			t.line("")
			varsTable(t, vars, false, nil)
		})
	})
}

// varsetChangeCommand is new or edit.
func (a *app) varsetChangeCommand(use, short string, do func(context.Context, string, client.VariableSetChange) error) *cobra.Command {
	var description string
	var global, priority bool
	cmd := a.outputs(&cobra.Command{
		Use: use, Short: short, Args: exactly("ORG/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var change client.VariableSetChange
			if cmd.Flags().Changed("description") {
				change.Description = &description
			}
			if cmd.Flags().Changed("global") {
				change.Global = &global
			}
			if cmd.Flags().Changed("priority") {
				change.Priority = &priority
			}
			return do(cmd.Context(), args[0], change)
		},
	})
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	cmd.Flags().BoolVar(&global, "global", false, "for all workspaces of the organization, future ones too")
	cmd.Flags().BoolVar(&priority, "priority", false, "wins over what a workspace or a run says")
	return cmd
}

func (a *app) newVarset(ctx context.Context, text string, change client.VariableSetChange) error {
	organization, name, err := parseVarset(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	change.Name = &name
	v, err := c.CreateVariableSet(ctx, organization, change)
	switch {
	case client.HasCode(err, messages.CodeNameTaken):
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf("variable set %s exists already. Change it with gantry varsets edit %s", text, text)}
	case client.NotFound(err):
		return findOrganization(ctx, c, organization)
	case err != nil:
		return err
	}
	return a.show(v, func(t *table) {
		t.line("Created variable set %s.", text)
		if !v.Global {
			t.line("Give it to workspaces with gantry varsets assign %s WORKSPACE...", text)
		}
	})
}

func (a *app) editVarset(ctx context.Context, text string, change client.VariableSetChange) error {
	if change == (client.VariableSetChange{}) {
		return fmt.Errorf("nothing to change: give --description, --global or --priority")
	}
	return a.withVariableSet(ctx, text, func(c *client.Client, v client.VariableSet) error {
		v, err := c.UpdateVariableSet(ctx, v.ID, change)
		if err != nil {
			return fmt.Errorf("variable set %s: %w", text, err)
		}
		return a.show(v, func(t *table) { t.line("Changed variable set %s.", text) })
	})
}

// varsetAssignCommand is assign or unassign.
func (a *app) varsetAssignCommand(use, short, done string, move func(*client.Client, context.Context, string, []string) error) *cobra.Command {
	return a.outputs(&cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage(cmd, "ORG/NAME of a variable set and the names of workspaces are needed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withVariableSet(cmd.Context(), args[0], func(c *client.Client, v client.VariableSet) error {
				organization, _, _ := strings.Cut(args[0], "/")
				var ids []string
				for _, name := range args[1:] {
					n, err := parseWorkspace(organization + "/" + strings.TrimPrefix(name, organization+"/"))
					if err != nil {
						return err
					}
					w, err := findWorkspace(cmd.Context(), c, n)
					if err != nil {
						return err
					}
					ids = append(ids, w.ID)
				}
				if err := move(c, cmd.Context(), v.ID, ids); err != nil {
					return fmt.Errorf("variable set %s: %w", args[0], err)
				}
				return a.show(v, func(t *table) { t.line("%s variable set %s: %s.", done, args[0], strings.Join(args[1:], ", ")) })
			})
		},
	})
}

func (a *app) varsetDeleteCommand() *cobra.Command {
	var yes bool
	cmd := a.outputs(&cobra.Command{
		Use: "delete ORG/NAME", Short: "Delete a variable set with its variables", Args: exactly("ORG/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withVariableSet(cmd.Context(), args[0], func(c *client.Client, v client.VariableSet) error {
				question := fmt.Sprintf("Delete variable set %s with its %d variables, for %s?", args[0], len(v.VariableIDs), varsetScope(v))
				if err := a.confirm(cmd.Context(), yes, question); err != nil {
					return err
				}
				if err := c.DeleteVariableSet(cmd.Context(), v.ID); err != nil {
					return fmt.Errorf("variable set %s: %w", args[0], err)
				}
				return a.show(v, func(t *table) { t.line("Deleted variable set %s.", args[0]) })
			})
		},
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
