package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) stateCommand() *cobra.Command {
	return a.connects(group("state", "List, show, replace and restore the state of a workspace",
		a.stateListCommand(), a.stateShowCommand(),
		&cobra.Command{
			Use: "pull ORG/NAME", Short: "Print the current state as Terraform wrote it", Args: exactly("ORG/NAME"),
			Long:              "Prints the current state of the workspace, in Terraform's own JSON. A state holds secrets: mind where it goes.",
			ValidArgsFunction: a.completeWorkspaces,
			RunE:              func(cmd *cobra.Command, args []string) error { return a.pullState(cmd.Context(), args[0]) },
		},
		a.statePushCommand(),
		a.statePromoteCommand(),
		a.outputs(&cobra.Command{
			Use: "rollback ORG/NAME SV", Short: "Make an earlier version the current state again", Args: exactly("ORG/NAME", "SV"),
			Long: "Makes a copy of state version SV (see gantry state list) the current state, under a new serial. Only the state changes,\n" +
				"not the resources: the next plan shows what Terraform would do about the difference. Refused while a run holds the\n" +
				"workspace.",
			ValidArgsFunction: a.completeWorkspaces,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.rollbackState(cmd.Context(), args[0], args[1])
			},
		})))
}

// stateView is a state version as -o json shows it.
type stateView struct {
	client.StateVersion
	Current bool `json:"current"`
}

func viewState(v client.StateVersion, currentID string) stateView {
	return stateView{v, v.ID == currentID}
}

func (a *app) stateListCommand() *cobra.Command {
	var limit int
	var aside bool
	cmd := a.outputs(&cobra.Command{
		Use: "list ORG/NAME", Short: "List the versions of the state, newest first", Args: exactly("ORG/NAME"),
		ValidArgsFunction: a.completeWorkspaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usage(cmd, "--limit %d is not a positive number", limit)
			}
			return a.listStates(cmd.Context(), args[0], limit, aside)
		},
	})
	cmd.Flags().IntVar(&limit, "limit", 20, "how many versions to list")
	cmd.Flags().BoolVar(&aside, "aside", false, "only those that were kept aside: what a lost runner stored too late")
	return cmd
}

func (a *app) listStates(ctx context.Context, text string, limit int, aside bool) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, _ workspaceName, w client.Workspace) error {
		current, err := c.CurrentState(ctx, w.ID)
		if err != nil && !client.NotFound(err) {
			return err
		}
		read := limit
		if aside {
			read = 0 // they may be old
		}
		versions, err := c.StateVersions(ctx, w.ID, read)
		if err != nil {
			return err
		}
		if aside {
			versions = slices.DeleteFunc(versions, func(v client.StateVersion) bool { return v.Status != stateAside })
			versions = versions[:min(limit, len(versions))]
		}
		views := make([]stateView, len(versions))
		for i, v := range versions {
			views[i] = viewState(v, current.ID)
		}
		return a.show(views, func(t *table) {
			t.head("ID", "SERIAL", "CREATED", "BY", "SIZE", "CURRENT")
			for _, v := range views {
				t.row(v.ID, v.Serial, v.CreatedAt, writerText(v.StateVersion), sizeText(v.Size), standing(v))
			}
		})
	})
}

// writerText is who wrote a state: a run or a person.
func writerText(v client.StateVersion) string {
	if v.PushedBy != "" {
		return v.PushedBy
	}
	return v.RunID
}

func standing(v stateView) string {
	switch {
	case v.Current:
		return "yes"
	case v.Status == stateAside:
		return "kept aside"
	default:
		return ""
	}
}

// currentState is the newest version, or the advice how to get one.
func currentState(ctx context.Context, c *client.Client, n workspaceName, w client.Workspace) (client.StateVersion, error) {
	v, err := c.CurrentState(ctx, w.ID)
	return v, missing(err, "workspace %s has no state yet: nothing was applied in it. Start with gantry run -w %s", n, n)
}

func (a *app) pullState(ctx context.Context, text string) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		version, err := currentState(ctx, c, n, w)
		if err != nil {
			return err
		}
		state, err := c.DownloadState(ctx, version)
		if err != nil {
			return err
		}
		_, err = a.env.Stdout.Write(state)
		return err
	})
}

func (a *app) statePushCommand() *cobra.Command {
	var force bool
	cmd := a.outputs(&cobra.Command{
		Use: "push ORG/NAME FILE", Short: "Make a state file the current state", Args: exactly("ORG/NAME", "FILE"),
		Long: "Makes FILE (-: standard input), as gantry state pull or Terraform wrote it, the current state. It must follow the\n" +
			"current one: the same lineage and a higher serial; --force does without. Refused while a run holds the workspace.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pushState(cmd.Context(), args[0], args[1], force)
		},
	})
	cmd.Flags().BoolVar(&force, "force", false, "also if it does not follow the current state")
	return cmd
}

func (a *app) pushState(ctx context.Context, text, path string, force bool) error {
	state, err := a.readFile(path)
	if err != nil {
		return fmt.Errorf("the state file: %w", err)
	}
	if path == "-" {
		path = "standard input"
	}
	var head struct {
		Version int    `json:"version"`
		Lineage string `json:"lineage"`
	}
	if err := json.Unmarshal(state, &head); err != nil || head.Version != 4 || head.Lineage == "" {
		return fmt.Errorf("%s is not a state file of Terraform 0.12 or newer (version 4, with a lineage)", path)
	}
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		v, err := c.PushState(ctx, w.ID, state, force)
		if err != nil {
			return stateRefused(err, n, force)
		}
		return a.show(viewState(v, v.ID), func(t *table) {
			t.line("%s is the state of workspace %s now: %s, serial %d.", path, n, v.ID, v.Serial)
		})
	})
}

// stateRefused adds to a refusal of a new state what to do about it.
func stateRefused(err error, n workspaceName, forced bool) error {
	switch {
	case client.HasCode(err, messages.CodeStateConflict) && !forced:
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf("the state of workspace %s was not changed: %s. Compare with gantry state pull %[1]s, then use --force if you are sure", n, reason(err))}
	case conflict(err):
		return &Exit{Code: ExitFailure, Message: fmt.Sprintf("the state was not changed: %s. See what holds it with gantry workspaces show %s", reason(err), n)}
	default:
		return fmt.Errorf("the state of workspace %s: %w", n, err)
	}
}

func (a *app) rollbackState(ctx context.Context, text, id string) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		earlier, err := findState(ctx, c, n, w, id)
		if err != nil {
			return err
		}
		v, err := c.RollbackState(ctx, w.ID, id)
		if err != nil {
			return stateRefused(err, n, true)
		}
		return a.show(viewState(v, v.ID), func(t *table) {
			t.line("Workspace %s is back at the state of serial %d: %s, serial %d.", n, earlier.Serial, v.ID, v.Serial)
			t.line("See what Terraform would do about it with gantry run -w %s --plan-only", n)
		})
	})
}

// findState returns a version of this workspace's state: one of another would be a mistake with consequences.
func findState(ctx context.Context, c *client.Client, n workspaceName, w client.Workspace, id string) (client.StateVersion, error) {
	v, err := c.StateVersion(ctx, id)
	if err == nil && v.WorkspaceID != "" && v.WorkspaceID != w.ID {
		err = &client.Error{Status: 404}
	}
	return v, missing(err, "workspace %s has no state version %s. See gantry state list %s", n, id, n)
}

// stateSummary is what state show tells: no value of a resource, and no sensitive output.
type stateSummary struct {
	stateView
	Resources []resourceView        `json:"resources"`
	Outputs   map[string]outputView `json:"outputs"`
}

type resourceView struct {
	Address   string `json:"address"`
	Instances int    `json:"instances"`
	Tainted   int    `json:"tainted,omitempty"` // of them, to be replaced by the next apply
}

func (a *app) stateShowCommand() *cobra.Command {
	var version string
	cmd := a.outputs(&cobra.Command{
		Use: "show ORG/NAME", Short: "Show what a state has: resources and outputs, without secrets", Args: exactly("ORG/NAME"),
		ValidArgsFunction: a.completeWorkspaces,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.showState(cmd.Context(), args[0], version) },
	})
	cmd.Flags().StringVar(&version, "version", "", "an earlier one, as gantry state list names it (default: the current one)")
	return cmd
}

func (a *app) showState(ctx context.Context, text, id string) error {
	return a.withWorkspace(ctx, text, func(c *client.Client, n workspaceName, w client.Workspace) error {
		current, err := currentState(ctx, c, n, w)
		if err != nil && id == "" {
			return err
		}
		v := current
		if id != "" { // perhaps one that was kept aside, and there is no other
			if v, err = findState(ctx, c, n, w, id); err != nil {
				return err
			}
		}
		state, err := c.DownloadState(ctx, v)
		if err != nil {
			return err
		}
		summary, err := summarize(state)
		if err != nil {
			return fmt.Errorf("state version %s of workspace %s: %w", v.ID, n, err)
		}
		summary.stateView = viewState(v, current.ID)
		return a.show(summary, func(t *table) { summary.tell(t, n) })
	})
}

func summarize(state []byte) (stateSummary, error) {
	var s struct {
		Resources []struct {
			Module, Mode, Type, Name string
			Instances                []struct{ Status string }
		}
		Outputs map[string]outputView
	}
	if err := json.Unmarshal(state, &s); err != nil {
		return stateSummary{}, err
	}
	out := stateSummary{Resources: []resourceView{}, Outputs: map[string]outputView{}}
	for _, r := range s.Resources {
		address := r.Type + "." + r.Name
		if r.Mode == "data" {
			address = "data." + address
		}
		if r.Module != "" {
			address = r.Module + "." + address
		}
		view := resourceView{Address: address, Instances: len(r.Instances)}
		for _, i := range r.Instances {
			if i.Status == "tainted" {
				view.Tainted++
			}
		}
		out.Resources = append(out.Resources, view)
	}
	for name, o := range s.Outputs {
		if o.Sensitive {
			o.Value = json.RawMessage("null")
		}
		out.Outputs[name] = o
	}
	return out, nil
}

func (s stateSummary) tell(t *table, n workspaceName) {
	t.row("Workspace:", n)
	t.row("Version:", s.ID)
	t.row("Current:", yesNo(s.Current))
	t.row("Serial:", s.Serial)
	t.row("Lineage:", s.Lineage)
	t.row("Terraform:", s.TerraformVersion)
	t.row("Created:", s.CreatedAt)
	t.row("By:", writerText(s.StateVersion))
	t.row("Size:", sizeText(s.Size))
	if len(s.Resources) > 0 {
		t.line("")
		t.head("RESOURCE", "INSTANCES")
	}
	for _, r := range s.Resources {
		t.row(r.Address, r.text())
	}
	if len(s.Outputs) > 0 {
		t.line("")
		t.head("OUTPUT", "VALUE")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		o := s.Outputs[name]
		t.row(name, o.short())
	}
}

// text is the number of instances, and how many of them are tainted.
func (r resourceView) text() string {
	if r.Tainted == 0 {
		return fmt.Sprint(r.Instances)
	}
	return fmt.Sprintf("%d (%d tainted)", r.Instances, r.Tainted)
}

// short is the value on one line.
func (o outputView) short() string {
	if o.Sensitive {
		return "<sensitive>"
	}
	var text bytes.Buffer
	if err := json.Compact(&text, o.Value); err != nil {
		return string(o.Value)
	}
	return text.String()
}
