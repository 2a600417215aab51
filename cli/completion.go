package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
)

// completionPatience bounds how long somebody who pressed Tab waits for a server.
const completionPatience = 2 * time.Second

// completeFlag completes the values of a flag.
func (a *app) completeFlag(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return complete(cmd, nil, begun)
	})
}

// ask gives complete a client; whatever goes wrong is no completion, not an error.
func (a *app) ask(cmd *cobra.Command, complete func(context.Context, *client.Client) ([]string, error)) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	c, err := a.connect()
	if err != nil {
		return nil
	}
	defer c.Close()
	out, err := complete(ctx, c)
	if err != nil {
		return nil
	}
	return out
}

func (a *app) completeOrganizations(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) {
		all, err := c.Organizations(ctx)
		var out []string
		for _, o := range all {
			out = append(out, o.Name)
		}
		return out, err
	}), cobra.ShellCompDirectiveNoFileComp
}

// completeWorkspaces completes ORG/NAME in two steps. What follows a workspace is a file at most.
func (a *app) completeWorkspaces(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	organization, _, ok := strings.Cut(begun, "/")
	if !ok {
		names, _ := a.completeOrganizations(cmd, nil, begun)
		for i := range names {
			names[i] += "/"
		}
		return names, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	return a.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) {
		all, err := c.Workspaces(ctx, organization)
		var out []string
		for _, w := range all {
			out = append(out, organization+"/"+w.Name)
		}
		return out, err
	}), cobra.ShellCompDirectiveNoFileComp
}

// completeRuns completes the id of a run: the newest of each organization, with what tells them apart.
func (a *app) completeRuns(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.ask(cmd, func(ctx context.Context, c *client.Client) ([]string, error) {
		views, err := organizationRuns(ctx, c, "", 20)
		var out []string
		for _, v := range views {
			out = append(out, cobra.CompletionWithDesc(v.ID, v.Organization+"/"+v.Workspace+" "+string(v.Status)))
		}
		return out, err
	}), cobra.ShellCompDirectiveNoFileComp
}
