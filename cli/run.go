package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/internal/wire"
	"gantry.example/messages"
)

// runRequest is what the user asked gantry run for.
type runRequest struct {
	dir                            string
	workspace                      string
	message                        string
	autoApprove, planOnly, destroy bool
	refreshOnly, detach, detailed  bool
	targets, replaces              []string
	vars, varFiles                 []string
	executionFile                  string
}

func (a *app) runCommand() *cobra.Command {
	var r runRequest
	cmd := a.connects(a.outputs(&cobra.Command{
		Use:   "run [DIR] -w ORG/NAME",
		Short: "Plan and apply the configuration in a folder",
		Long: "Uploads the configuration in DIR (default: this folder, without what .terraformignore excludes), plans it, asks\n" +
			"whether to apply, and applies. The workspace is created if it is not there. Without a terminal and without\n" +
			"--auto-approve the run waits for approval, and the exit code is 5.\n\n" +
			"Ctrl-C cancels a plan. In the middle of an apply it asks whether to cancel it (Terraform stops after what it is\n" +
			"doing, and its state is saved) or to leave it running; without a terminal the first one cancels and the second leaves.\n\n" +
			"The value of --var is text where the configuration declares a string, a number, a bool or no type, and a Terraform\n" +
			"expression for every other type, as with terraform -var. --var wins over --var-file, and a later one over an earlier.",
		Example: "  gantry run ./network -w default/network\n" +
			"  gantry run -w default/network --plan-only --detailed-exitcode\n" +
			"  gantry run -w default/network --var region=eu --var 'zones=[\"a\",\"b\"]' --var-file prod.tfvars",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "unexpected argument %q: name one folder", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if r.dir = "."; len(args) > 0 {
				r.dir = args[0]
			}
			if err := r.check(cmd); err != nil {
				return err
			}
			return a.run(cmd.Context(), r)
		},
	}))
	r.flags(cmd)
	a.completeFlag(cmd, "workspace", a.completeWorkspaces)
	return cmd
}

func (r *runRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&r.workspace, "workspace", "w", "", "the workspace, as ORG/NAME")
	f.BoolVar(&r.autoApprove, "auto-approve", false, "apply without asking")
	f.BoolVar(&r.planOnly, "plan-only", false, "plan, and never apply")
	f.BoolVar(&r.destroy, "destroy", false, "plan to destroy everything the workspace manages")
	f.BoolVar(&r.refreshOnly, "refresh-only", false, "plan only to take over what was changed outside of Terraform")
	f.StringArrayVar(&r.targets, "target", nil, "plan only this address and what it depends on; repeatable")
	f.StringArrayVar(&r.replaces, "replace", nil, "plan to replace this address; repeatable")
	f.StringArrayVar(&r.vars, "var", nil, "a variable, as NAME=VALUE; repeatable")
	f.StringArrayVar(&r.varFiles, "var-file", nil, "a file of variables, .tfvars or .tfvars.json; repeatable")
	f.StringVar(&r.executionFile, "execution", "", "JSON file with an execution document for this run only")
	f.StringVar(&r.message, "message", "", "a note that is shown with the run")
	f.BoolVar(&r.detach, "detach", false, "create the run and return at once")
	f.BoolVar(&r.detailed, "detailed-exitcode", false, "exit code 0 only without changes, 2 with changes")
	_ = cmd.MarkFlagFilename("var-file", "tfvars", "tfvars.json")
	_ = cmd.MarkFlagFilename("execution", "json")
}

// check refuses what contradicts itself.
func (r *runRequest) check(cmd *cobra.Command) error {
	if r.workspace == "" {
		return usage(cmd, "-w ORG/NAME is missing: it says which workspace to run in")
	}
	for _, pair := range []struct {
		a, b     bool
		one, two string
	}{
		{r.autoApprove, r.planOnly, "--auto-approve", "--plan-only"},
		{r.destroy, r.refreshOnly, "--destroy", "--refresh-only"},
		{len(r.replaces) > 0, r.refreshOnly, "--replace", "--refresh-only"},
		{r.detach, r.detailed, "--detach", "--detailed-exitcode"},
	} {
		if pair.a && pair.b {
			return usage(cmd, "%s and %s exclude each other", pair.one, pair.two)
		}
	}
	return nil
}

func (a *app) run(ctx context.Context, r runRequest) error {
	n, err := parseWorkspace(r.workspace)
	if err != nil {
		return err
	}
	execution, err := a.readExecution(r.executionFile)
	if err != nil {
		return err
	}
	dir, err := configurationDir(r.dir)
	if err != nil {
		return err
	}
	given, err := parseVariables(r.vars)
	if err != nil {
		return err
	}
	files, err := readVarFiles(r.varFiles)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := findOrCreateWorkspace(ctx, c, n, dir, execution)
	if err != nil {
		return err
	}
	root := workdir(w, execution)
	vars, err := given.expressions(dir, root, files)
	if err != nil {
		return err
	}
	cv, err := upload(ctx, c, configuration{dir: dir, workspaceID: w.ID, planOnly: r.planOnly})
	if err != nil {
		return err
	}
	run, err := c.CreateRun(ctx, r.options(w, cv.ID, execution, vars))
	if err != nil {
		return fmt.Errorf("workspace %s: %w", n, err)
	}
	if r.detach {
		return a.show(viewRun(c, n, run), func(t *table) {
			t.line("Run %s: %s", run.ID, page(c, n, run.ID))
			t.line("Follow it with gantry runs logs -f %s", run.ID)
		})
	}
	s := a.session(c, n, run)
	s.detailed = r.detailed
	return s.follow(ctx)
}

func (r *runRequest) options(w client.Workspace, configurationID string, e *messages.Execution, vars []wire.RunVariable) client.RunOptions {
	return client.RunOptions{
		WorkspaceID: w.ID, ConfigurationVersionID: configurationID, Message: r.message,
		AutoApply: r.autoApprove || w.AutoApply && !r.planOnly, PlanOnly: r.planOnly, Destroy: r.destroy, RefreshOnly: r.refreshOnly,
		TargetAddrs: r.targets, ReplaceAddrs: r.replaces, Variables: vars, Execution: e,
	}
}

// workdir is the folder inside the configuration that terraform runs in.
func workdir(w client.Workspace, e *messages.Execution) string {
	if e != nil && e.Workdir != "" {
		return e.Folder()
	}
	return w.WorkingDirectory
}

// findOrCreateWorkspace creates an absent workspace, as Terraform's cloud block does, but only for a folder that can run.
func findOrCreateWorkspace(ctx context.Context, c *client.Client, n workspaceName, dir string, e *messages.Execution) (client.Workspace, error) {
	w, err := c.Workspace(ctx, n.organization, n.name)
	if err != nil && !client.NotFound(err) {
		return w, err
	}
	absent := err != nil
	if err := checkConfiguration(dir, workdir(w, e), n); err != nil {
		return w, err
	}
	if !absent {
		return w, nil
	}
	if err := findOrganization(ctx, c, n.organization); err != nil {
		return w, err
	}
	w, err = c.CreateWorkspace(ctx, n.organization, n.name)
	if client.HasCode(err, messages.CodeNameTaken) { // somebody else was faster
		return c.Workspace(ctx, n.organization, n.name)
	}
	return w, err
}

// page is where a browser shows the run.
func page(c *client.Client, n workspaceName, runID string) string {
	return fmt.Sprintf("%s/app/%s/%s/runs/%s", c.PublicURL(), n.organization, n.name, runID)
}
