package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

func (a *app) runsCommand() *cobra.Command {
	runs := group("runs", "List, show, approve and stop runs, and read their logs", a.runsListCommand(), a.runsLogsCommand(),
		a.outputs(&cobra.Command{
			Use: "show ID", Short: "Show a run", Args: exactly("ID"), ValidArgsFunction: a.completeRuns,
			RunE: func(cmd *cobra.Command, args []string) error { return a.showRun(cmd.Context(), args[0]) },
		}))
	runs.AddCommand(append(a.runActions(), a.runsRecoverCommand())...)
	return a.connects(runs)
}

func (a *app) runsListCommand() *cobra.Command {
	var workspace, organization string
	var limit int
	cmd := a.outputs(&cobra.Command{
		Use: "list", Short: "List the newest runs: of a workspace, of an organization, or all", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if workspace != "" && organization != "" {
				return usage(cmd, "-w and --org exclude each other")
			}
			if limit < 1 {
				return usage(cmd, "--limit %d is not a positive number", limit)
			}
			return a.listRuns(cmd.Context(), workspace, organization, limit)
		},
	})
	cmd.Flags().StringVarP(&workspace, "workspace", "w", "", "only of this workspace, as ORG/NAME")
	cmd.Flags().StringVar(&organization, "org", "", "only of this organization")
	a.completeFlag(cmd, "workspace", a.completeWorkspaces)
	a.completeFlag(cmd, "org", a.completeOrganizations)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs to list")
	return cmd
}

func (a *app) listRuns(ctx context.Context, workspace, organization string, limit int) error {
	var n workspaceName
	if workspace != "" {
		var err error
		if n, err = parseWorkspace(workspace); err != nil {
			return err
		}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	var views []runView
	if workspace != "" {
		views, err = workspaceRuns(ctx, c, n, limit)
	} else {
		views, err = organizationRuns(ctx, c, organization, limit)
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(views, func(x, y runView) int {
		return y.CreatedAt.Compare(x.CreatedAt)
	})
	views = views[:min(limit, len(views))]
	return a.show(views, func(t *table) {
		t.head("ID", "WORKSPACE", "STATUS", "CREATED", "MESSAGE")
		for _, v := range views {
			t.row(v.ID, v.Organization+"/"+v.Workspace, v.Status, v.CreatedAt, v.Message)
		}
	})
}

func workspaceRuns(ctx context.Context, c *client.Client, n workspaceName, limit int) ([]runView, error) {
	w, err := findWorkspace(ctx, c, n)
	if err != nil {
		return nil, err
	}
	runs, err := c.Runs(ctx, w.ID, limit)
	views := make([]runView, len(runs))
	for i, r := range runs {
		views[i] = viewRun(c, n, r)
	}
	return views, err
}

// organizationRuns returns the runs of the organization, or of all if it is empty.
func organizationRuns(ctx context.Context, c *client.Client, organization string, limit int) ([]runView, error) {
	organizations := []client.Organization{{Name: organization}}
	var err error
	if organization == "" {
		organizations, err = c.Organizations(ctx)
	} else {
		err = findOrganization(ctx, c, organization)
	}
	views := []runView{}
	for _, o := range organizations {
		if err != nil {
			break
		}
		var more []runView
		more, err = oneOrganizationRuns(ctx, c, o.Name, limit)
		views = append(views, more...)
	}
	return views, err
}

func oneOrganizationRuns(ctx context.Context, c *client.Client, organization string, limit int) ([]runView, error) {
	workspaces, err := c.Workspaces(ctx, organization)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, w := range workspaces {
		names[w.ID] = w.Name
	}
	runs, err := c.OrganizationRuns(ctx, organization, limit)
	views := make([]runView, len(runs))
	for i, r := range runs {
		views[i] = viewRun(c, workspaceName{organization, names[r.WorkspaceID]}, r)
	}
	return views, err
}

const noRun = "run %s does not exist, or the token may not see it. See gantry runs list"

// findRun returns the run and the name of its workspace.
func findRun(ctx context.Context, c *client.Client, id string) (client.Run, workspaceName, error) {
	run, err := c.Run(ctx, id)
	if err != nil {
		return run, workspaceName{}, missing(err, noRun, id)
	}
	w, err := c.WorkspaceByID(ctx, run.WorkspaceID)
	return run, workspaceName{w.Organization, w.Name}, err
}

func (a *app) showRun(ctx context.Context, id string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	run, n, err := findRun(ctx, c, id)
	if err != nil {
		return err
	}
	view := viewRun(c, n, run)
	if err := view.complete(ctx, c, run); err != nil {
		return err
	}
	return a.show(view, func(t *table) { view.tell(t, run, n) })
}

// complete asks for what is known of a run beside itself.
func (v *runView) complete(ctx context.Context, c *client.Client, run client.Run) error {
	for _, p := range []struct {
		id   string
		read func(context.Context, string) (client.Phase, error)
		to   **client.Phase
	}{{run.PlanID, c.Plan, &v.Plan}, {run.ApplyID, c.Apply, &v.Apply}} {
		if p.id == "" {
			continue
		}
		phase, err := p.read(ctx, p.id)
		if err != nil {
			return err
		}
		phase.LogReadURL = "" // a permission, which has no place on a screen
		*p.to = &phase
	}
	why, err := c.Waiting(ctx, run.ID)
	switch {
	case err != nil && !client.NotFound(err): // an older server has no such call
		return err
	case why.Reason != "":
		v.Waiting = &why
	}
	details, err := c.RunDetails(ctx, run.ID)
	if err != nil && !client.NotFound(err) {
		return err
	}
	v.Condition, v.Logs = details.Condition, details.Logs
	return nil
}

// tell shows the run to people.
func (v *runView) tell(t *table, run client.Run, n workspaceName) {
	t.row("Run:", run.ID)
	t.row("Workspace:", n)
	t.row("Status:", run.Status)
	if v.Waiting != nil {
		t.row("Waits:", v.Waiting.Text)
	}
	if run.Failure != "" {
		t.row("Failure:", withCode(run.Failure, run.Code))
	}
	tellCondition(t, v.Condition)
	t.row("Created:", run.CreatedAt)
	t.row("Message:", run.Message)
	if kind := kindText(run); kind != "" {
		t.row("Kind:", kind)
	}
	t.row("Plan:", phaseText(v.Plan))
	t.row("Apply:", phaseText(v.Apply))
	for _, l := range v.Logs {
		if l.Intact != nil && !*l.Intact {
			t.row("Log:", "the stored log of the "+l.Phase+" is not what its runner printed: a part was lost")
		}
	}
	t.row("Page:", v.URL)
}

// kindText says how the run differs from a plan and apply of everything.
func kindText(r client.Run) string {
	var parts []string
	for _, p := range []struct {
		is   bool
		text string
	}{
		{r.PlanOnly, "plan only"}, {r.IsDestroy, "destroy"}, {r.RefreshOnly, "refresh only"}, {r.AutoApply, "auto-approved"},
		{len(r.TargetAddrs) > 0, "targets " + strings.Join(r.TargetAddrs, ", ")},
		{len(r.ReplaceAddrs) > 0, "replaces " + strings.Join(r.ReplaceAddrs, ", ")},
	} {
		if p.is {
			parts = append(parts, p.text)
		}
	}
	return strings.Join(parts, "; ")
}

func phaseText(p *client.Phase) string {
	if p == nil {
		return ""
	}
	if p.Status != "finished" {
		return p.Status
	}
	return fmt.Sprintf("%s (+%d ~%d -%d)", p.Status, p.Additions, p.Changes, p.Destructions)
}

func (a *app) runsLogsCommand() *cobra.Command {
	var plan, apply, follow bool
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Print the log of a run: of its plan and its apply, or of one of them", Args: exactly("ID"),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if plan && apply {
				plan, apply = false, false
			}
			return a.logs(cmd.Context(), args[0], !apply, !plan, follow)
		},
	}
	cmd.Flags().BoolVar(&plan, "plan", false, "only of the plan")
	cmd.Flags().BoolVar(&apply, "apply", false, "only of the apply")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "wait for more until the run is over")
	return cmd
}

func (a *app) logs(ctx context.Context, id string, plan, apply, follow bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	run, n, err := findRun(ctx, c, id)
	if err != nil {
		return err
	}
	phases := []phase{}
	if plan && run.PlanID != "" {
		phases = append(phases, planPhase(c, run))
	}
	if apply && run.ApplyID != "" {
		phases = append(phases, applyPhase(c, run))
	}
	if follow {
		return a.followLogs(ctx, c, n, run, phases)
	}
	for _, p := range phases {
		what, err := p.read(ctx)
		if err != nil {
			return err
		}
		err = c.StreamLog(ctx, what.LogReadURL, a.logWriter(), client.LogOptions{})
		if err != nil && !errors.Is(err, client.ErrLogCut) {
			return err
		}
	}
	return nil
}

func (a *app) followLogs(ctx context.Context, c *client.Client, n workspaceName, run client.Run, phases []phase) error {
	s := a.session(c, n, run)
	s.display = a.display()
	defer s.display.close()
	defer a.contact.follow(s.display.note)()
	s.watch = watch(ctx, c, run.ID)
	defer s.watch.close()
	for _, p := range phases {
		if _, err := s.follows(ctx, p, s.display.Write); err != nil {
			return err
		}
	}
	return nil
}
