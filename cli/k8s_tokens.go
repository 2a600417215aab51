package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

// renderCommand shows the Pod of a workspace's task.
func (a *app) renderCommand() *cobra.Command {
	var workspace, phase string
	cmd := a.outputs(&cobra.Command{
		Use: "render -w ORG/NAME", Short: "Print the Pod of a workspace's task as it would be created", Args: cobra.NoArgs,
		Long: "Prints the manifest of the Pod that a task of the workspace would run in, with the ids of the run in place. Nothing is created.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if workspace == "" {
				return usage(cmd, "give --workspace ORG/NAME")
			}
			return a.renderPod(cmd.Context(), workspace, messages.Phase(phase))
		},
	})
	cmd.Flags().StringVarP(&workspace, "workspace", "w", "", "the workspace, as ORG/NAME")
	cmd.Flags().StringVar(&phase, "phase", string(messages.PhasePlan), "plan or apply")
	a.completeFlag(cmd, "workspace", a.completeWorkspaces)
	return cmd
}

func (a *app) renderPod(ctx context.Context, workspace string, phase messages.Phase) error {
	return a.withWorkspace(ctx, workspace, func(c *client.Client, n workspaceName, w client.Workspace) error {
		docs, err := c.Execution(ctx, w.ID)
		if err != nil {
			return err
		}
		if docs.Effective.Mode != messages.ModeK8s || docs.Effective.K8sConfig == "" {
			return fmt.Errorf("workspace %s does not execute in a k8s config but %s: see gantry workspaces edit --execution", n, executionText(docs.Effective))
		}
		manifest, err := c.RenderPod(ctx, string(docs.Effective.K8sConfig), w.ID, phase)
		if err != nil {
			return err
		}
		return a.show(map[string]string{"manifest": manifest}, func(*table) { _, err = fmt.Fprint(a.env.Stdout, manifest) })
	})
}

func (a *app) k8sTokensCommand() *cobra.Command {
	var life time.Duration
	var description string
	create := a.outputs(&cobra.Command{
		Use: "new ORG/CONFIG", Short: "Create a token for dispatchers of a k8s config and print it, once", Args: exactly("ORG/CONFIG"),
		Long: "Creates a token and prints it alone on stdout, once: it cannot be shown again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires-in") && life < time.Second {
				return usage(cmd, "--expires-in %s is not a life, such as 720h", life)
			}
			return a.newK8sToken(cmd.Context(), args[0], description, life)
		},
	})
	create.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, for example 720h (default: until it is revoked)")
	create.Flags().StringVar(&description, "description", "dispatcher", "what it is for")
	return group("tokens", "Create, list and revoke tokens for dispatchers of a k8s config", create,
		a.outputs(&cobra.Command{
			Use: "list ORG/CONFIG", Short: "List the tokens of a k8s config, without their secrets", Args: exactly("ORG/CONFIG"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.listK8sTokens(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "revoke ORG/CONFIG ID", Short: "Make a token worthless", Args: exactly("ORG/CONFIG", "ID"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withK8s(cmd.Context(), args[0], func(c *client.Client, k client.K8sConfig) error {
					if err := c.RevokeK8sToken(cmd.Context(), k.ID, args[1]); err != nil {
						return err
					}
					return a.show(map[string]string{"id": args[1]}, func(t *table) { t.line("Revoked token %s.", args[1]) })
				})
			},
		}))
}

func (a *app) newK8sToken(ctx context.Context, text, description string, life time.Duration) error {
	return a.withK8s(ctx, text, func(c *client.Client, k client.K8sConfig) error {
		created, err := c.CreateK8sToken(ctx, k.ID, description, life)
		if err != nil {
			return err
		}
		if !a.asJSON() {
			fmt.Fprintf(a.env.Stderr, "Created token %s (%s) of k8s config %s. It is shown this one time:\n", created.ID, oneLine(created.Description), text)
		}
		return a.show(created, func(t *table) { t.line("%s", created.Secret) })
	})
}

func (a *app) listK8sTokens(ctx context.Context, text string) error {
	return a.withK8s(ctx, text, func(c *client.Client, k client.K8sConfig) error {
		all, err := c.K8sTokens(ctx, k.ID)
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("ID", "DESCRIPTION", "CREATED", "EXPIRES")
			for _, one := range all {
				t.row(one.ID, one.Description, one.CreatedAt, expiry(one.ExpiresAt))
			}
		})
	})
}
