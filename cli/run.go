package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

// runRequest is what the user asked gantry run for.
type runRequest struct {
	dir                            string
	workspace                      string
	message                        string
	autoApprove, planOnly, destroy bool
}

func (a *app) runCommand() *cobra.Command {
	var r runRequest
	cmd := a.connects(a.outputs(&cobra.Command{
		Use:   "run [DIR] -w ORG/NAME",
		Short: "Plan and apply the configuration in a folder",
		Long: "Uploads the configuration in DIR (default: this folder, without what .terraformignore excludes), plans it, asks\n" +
			"whether to apply, and applies. The workspace is created if it is not there. Without a terminal and without\n" +
			"--auto-approve the run waits for approval, and the exit code is 5.\n\n" +
			"Ctrl-C cancels the run, in the middle of an apply too: Terraform stops after what it is doing and its state is\n" +
			"saved. A second Ctrl-C leaves without waiting for that.",
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
			if r.workspace == "" {
				return usage(cmd, "-w ORG/NAME is missing: it says which workspace to run in")
			}
			if r.autoApprove && r.planOnly {
				return usage(cmd, "--auto-approve and --plan-only exclude each other")
			}
			return a.run(cmd.Context(), r)
		},
	}))
	f := cmd.Flags()
	f.StringVarP(&r.workspace, "workspace", "w", "", "the workspace, as ORG/NAME")
	f.BoolVar(&r.autoApprove, "auto-approve", false, "apply without asking")
	f.BoolVar(&r.planOnly, "plan-only", false, "plan, and never apply")
	f.BoolVar(&r.destroy, "destroy", false, "plan to destroy everything the workspace manages")
	f.StringVar(&r.message, "message", "", "a note that is shown with the run")
	return cmd
}

func (a *app) run(ctx context.Context, r runRequest) error {
	n, err := parseWorkspace(r.workspace)
	if err != nil {
		return err
	}
	dir, err := configurationDir(r.dir)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := findOrCreateWorkspace(ctx, c, n, dir)
	if err != nil {
		return err
	}
	cv, err := upload(ctx, c, dir, w.ID, r.planOnly)
	if err != nil {
		return err
	}
	run, err := c.CreateRun(ctx, client.RunOptions{
		WorkspaceID: w.ID, ConfigurationVersionID: cv.ID, Message: r.message,
		AutoApply: r.autoApprove, PlanOnly: r.planOnly, Destroy: r.destroy,
	})
	if err != nil {
		return fmt.Errorf("workspace %s: %w", n, err)
	}
	return a.session(c, n, run).follow(ctx)
}

// findOrCreateWorkspace creates an absent workspace, as Terraform's cloud block does, but only for a folder that can run.
func findOrCreateWorkspace(ctx context.Context, c *client.Client, n workspaceName, dir string) (client.Workspace, error) {
	w, err := c.Workspace(ctx, n.organization, n.name)
	if err != nil && !client.NotFound(err) {
		return w, err
	}
	absent := err != nil
	if err := checkConfiguration(dir, w); err != nil {
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
	return fmt.Sprintf("%s/app/%s/%s/runs/%s", c.Address(), n.organization, n.name, runID)
}
