package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
)

// varsRequest says which variables a command is about.
type varsRequest struct {
	target string // ORG/NAME
	set    bool   // the target is a variable set, not a workspace
	env    bool
}

func (r *varsRequest) category() string {
	if r.env {
		return wire.CategoryEnv
	}
	return wire.CategoryTerraform
}

func (a *app) varsCommand() *cobra.Command {
	return a.connects(group("vars", "List, set and delete variables of workspaces and variable sets",
		a.varsListCommand(), a.varsSetCommand(), a.varsDeleteCommand()))
}

func (a *app) varsFlags(cmd *cobra.Command, r *varsRequest, category bool) *cobra.Command {
	cmd.Flags().BoolVar(&r.set, "varset", false, "ORG/NAME is a variable set, not a workspace")
	if category {
		cmd.Flags().BoolVar(&r.env, "env", false, "a variable of the environment, not of the configuration")
	}
	cmd.ValidArgsFunction = a.completeWorkspaces
	return a.outputs(cmd)
}

func (a *app) varsListCommand() *cobra.Command {
	var r varsRequest
	var all bool
	cmd := &cobra.Command{
		Use: "list ORG/NAME", Short: "List variables; sensitive values are not shown, to anybody", Args: exactly("ORG/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.target = args[0]; all && r.set {
				return usage(cmd, "--all and --varset exclude each other")
			}
			return a.listVars(cmd.Context(), r, all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that runs of the workspace get, those of variable sets included")
	return a.varsFlags(cmd, &r, false)
}

// setRequest is a variable to be set.
type setRequest struct {
	varsRequest
	key, value             string
	given                  bool // value is
	file                   string
	hcl, sensitive         bool
	description            string
	hclSaid, sensitiveSaid bool
	described              bool
}

func (a *app) varsSetCommand() *cobra.Command {
	var r setRequest
	cmd := &cobra.Command{
		Use: "set ORG/NAME KEY[=VALUE]", Short: "Create a variable or change it", Args: exactly("ORG/NAME", "KEY[=VALUE]"),
		Long: "Creates a variable, or changes the one of that key; what is not said stays as it is. Without =VALUE the value is read from\n" +
			"--value-file, or from stdin (a terminal asks, without showing what is typed), less one end of line. A sensitive value must\n" +
			"come that way, because the arguments of a process are public. It is never shown again, and masked in logs.\n\n" +
			"Runs that are planned keep what they were planned with.",
		Example: "  gantry vars set default/network region=eu-central-1\n" +
			"  gantry vars set default/network 'zones=[\"a\",\"b\"]' --hcl\n" +
			"  gantry vars set default/network AWS_SECRET_ACCESS_KEY --env --sensitive < key\n" +
			"  gantry vars set default/aws AWS_REGION=eu-central-1 --env --varset",
		RunE: func(cmd *cobra.Command, args []string) error {
			r.target = args[0]
			r.key, r.value, r.given = strings.Cut(args[1], "=")
			f := cmd.Flags()
			r.hclSaid, r.sensitiveSaid, r.described = f.Changed("hcl"), f.Changed("sensitive"), f.Changed("description")
			if r.given && r.file != "" {
				return usage(cmd, "--value-file and =VALUE exclude each other")
			}
			return a.setVar(cmd.Context(), r)
		},
	}
	cmd.Flags().BoolVar(&r.hcl, "hcl", false, "the value is an HCL expression: a list, a map, a number")
	cmd.Flags().BoolVar(&r.sensitive, "sensitive", false, "never show the value again")
	cmd.Flags().StringVar(&r.file, "value-file", "", "file with the value")
	cmd.Flags().StringVar(&r.description, "description", "", "what it is for")
	_ = cmd.MarkFlagFilename("value-file")
	return a.varsFlags(cmd, &r.varsRequest, true)
}

func (a *app) varsDeleteCommand() *cobra.Command {
	var r varsRequest
	return a.varsFlags(&cobra.Command{
		Use: "delete ORG/NAME KEY", Short: "Delete a variable", Args: exactly("ORG/NAME", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.target = args[0]
			return a.deleteVar(cmd.Context(), r, args[1])
		},
	}, &r, true)
}

// withVars finds what the variables belong to and does something with it. what names it for people.
func (a *app) withVars(ctx context.Context, r varsRequest, do func(c *client.Client, h client.VariableHolder, what string) error) error {
	if !r.set {
		return a.withWorkspace(ctx, r.target, func(c *client.Client, n workspaceName, w client.Workspace) error {
			return do(c, client.VariableHolder{WorkspaceID: w.ID}, "workspace "+n.String())
		})
	}
	return a.withVariableSet(ctx, r.target, func(c *client.Client, v client.VariableSet) error {
		return do(c, client.VariableHolder{VariableSetID: v.ID}, "variable set "+r.target)
	})
}

func (a *app) listVars(ctx context.Context, r varsRequest, all bool) error {
	return a.withVars(ctx, r, func(c *client.Client, h client.VariableHolder, _ string) error {
		var vars []client.Variable
		var err error
		from := map[string]string{}
		if all {
			if vars, err = c.EffectiveVariables(ctx, h.WorkspaceID); err == nil {
				var sets []client.VariableSet
				sets, err = c.WorkspaceVariableSets(ctx, h.WorkspaceID)
				for _, s := range sets {
					from[s.ID] = s.Name
				}
			}
		} else {
			vars, err = c.Variables(ctx, h)
		}
		if err != nil {
			return err
		}
		return a.show(vars, func(t *table) { varsTable(t, vars, all, from) })
	})
}

func varsTable(t *table, vars []client.Variable, all bool, from map[string]string) {
	head := []string{"KEY", "CATEGORY", "VALUE", "DESCRIPTION"}
	if all {
		head = append(head, "FROM")
	}
	t.head(head...)
	for _, v := range vars {
		row := []any{v.Key, v.Category, shownValue(v), v.Description}
		if source := "workspace"; all {
			if v.VariableSetID != "" {
				source = "variable set " + from[v.VariableSetID]
			}
			row = append(row, source)
		}
		t.row(row...)
	}
}

// maxShownValue is how much of a value fits in a table, in characters.
const maxShownValue = 60

func shownValue(v client.Variable) string {
	if v.Value == nil {
		return "<sensitive>"
	}
	text := []rune(oneLine(*v.Value))
	if len(text) > maxShownValue {
		return string(text[:maxShownValue]) + "…"
	}
	return string(text)
}

func (a *app) setVar(ctx context.Context, r setRequest) error {
	const public = "the arguments of a process are public: leave out =VALUE, and give it with --value-file or on stdin"
	if r.sensitive && r.given {
		return fmt.Errorf("the value of a sensitive variable does not belong on the command line: %s", public)
	}
	if r.given {
		if err := r.check(r.value); err != nil {
			return err
		}
	}
	return a.withVars(ctx, r.varsRequest, func(c *client.Client, h client.VariableHolder, what string) error {
		old, err := findVar(ctx, c, h, r.key, r.category())
		if err != nil {
			return err
		}
		if old != nil && old.Sensitive && r.given {
			return fmt.Errorf("%s of %s is sensitive: %s", r.key, what, public)
		}
		value := r.value
		if !r.given {
			if value, err = a.readValue(ctx, r); err != nil {
				return err
			}
		}
		var v client.Variable
		if change := r.change(value); old == nil {
			v, err = c.CreateVariable(ctx, h, change)
		} else {
			v, err = c.UpdateVariable(ctx, h, old.ID, change)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if v.Sensitive && value != "" && !variable.Masked(value) {
			fmt.Fprintf(a.env.Stderr, "The value is too short to be masked in logs: texts of less than %d characters are everywhere.\n", variable.MinSecret)
		}
		return a.show(v, func(t *table) { t.line("Set %s of %s.", r.key, what) })
	})
}

func (r setRequest) change(value string) client.VariableChange {
	category := r.category()
	out := client.VariableChange{Key: &r.key, Value: &value, Category: &category}
	if r.hclSaid {
		out.HCL = &r.hcl
	}
	if r.sensitiveSaid {
		out.Sensitive = &r.sensitive
	}
	if r.described {
		out.Description = &r.description
	}
	return out
}

func findVar(ctx context.Context, c *client.Client, h client.VariableHolder, key, category string) (*client.Variable, error) {
	all, err := c.Variables(ctx, h)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(v client.Variable) bool { return v.Key == key && v.Category == category })
	if i < 0 {
		return nil, nil
	}
	return &all[i], nil
}

// readValue reads a value that is not on the command line.
func (a *app) readValue(ctx context.Context, r setRequest) (string, error) {
	var text []byte
	var err error
	switch f, ok := a.env.Stdin.(*os.File); {
	case r.file != "":
		if text, err = os.ReadFile(r.file); err != nil {
			return "", fmt.Errorf("--value-file: %w", err)
		}
	case ok && a.env.StdinTerminal:
		fmt.Fprintf(a.env.Stderr, "Value of %s (it is not shown): ", r.key)
		text, err = readHidden(ctx, int(f.Fd()))
		fmt.Fprintln(a.env.Stderr)
	default:
		text, err = io.ReadAll(io.LimitReader(a.env.Stdin, variable.MaxValue+2))
	}
	if err != nil {
		return "", err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	return value, r.check(value)
}

// check tells what can be known to be wrong before anything is sent.
func (r setRequest) check(value string) error {
	if err := variable.Check(wire.Variable{Key: r.key, Value: value, Category: r.category(), HCL: r.hcl}); err != nil || !r.hcl || r.env {
		return err
	}
	return variable.CheckExpression(r.key, value)
}

func (a *app) deleteVar(ctx context.Context, r varsRequest, key string) error {
	return a.withVars(ctx, r, func(c *client.Client, h client.VariableHolder, what string) error {
		v, err := findVar(ctx, c, h, key, r.category())
		if err != nil {
			return err
		}
		if v == nil {
			other := "--env names a variable of the environment"
			if r.env {
				other = "without --env a variable of the configuration is meant"
			}
			return fmt.Errorf("%s has no %s variable %q (%s). See gantry vars list %s", what, r.category(), key, other, r.target)
		}
		if err := c.DeleteVariable(ctx, h, v.ID); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return a.show(v, func(t *table) { t.line("Deleted %s of %s.", key, what) })
	})
}
