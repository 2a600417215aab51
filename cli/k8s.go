package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"gantry.example/client"
	"gantry.example/messages"
)

func (a *app) k8sCommand() *cobra.Command {
	return a.connects(group("k8s", "Create, list, show, change, check and delete k8s configs: clusters whose Pods carry out runs",
		a.outputs(&cobra.Command{
			Use: "list ORG", Short: "List the k8s configs of an organization", Args: exactly("ORG"), ValidArgsFunction: a.completeOrganizations,
			RunE: func(cmd *cobra.Command, args []string) error { return a.listK8s(cmd.Context(), args[0]) },
		}),
		a.outputs(&cobra.Command{
			Use: "show ORG/CONFIG", Short: "Show a k8s config, without its credentials", Args: exactly("ORG/CONFIG"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.showK8s(cmd.Context(), args[0]) },
		}),
		a.k8sChangeCommand("new ORG/CONFIG", "Create a k8s config", a.newK8s),
		a.k8sChangeCommand("edit ORG/CONFIG", "Change a k8s config; what is not named stays as it is", a.editK8s),
		a.outputs(&cobra.Command{
			Use: "check ORG/CONFIG", Short: "Ask the cluster whether Pods could run, and what is missing", Args: exactly("ORG/CONFIG"),
			Long: "Asks the cluster whether Pods of the config could run: rights, quota, pod security, ServiceAccount, image pull secrets. Nothing is\ncreated: Pods are sent as a dry run. Exits with 1 if something is missing.",
			RunE: func(cmd *cobra.Command, args []string) error { return a.checkK8s(cmd.Context(), args[0]) },
		}),
		a.renderCommand(),
		a.outputs(&cobra.Command{
			Use: "delete ORG/CONFIG", Short: "Delete a k8s config that nothing uses, with its tokens", Args: exactly("ORG/CONFIG"),
			RunE: func(cmd *cobra.Command, args []string) error { return a.deleteK8s(cmd.Context(), args[0]) },
		}),
		a.k8sTokensCommand()))
}

// k8sChangeCommand is a command that takes what of a config can be set.
func (a *app) k8sChangeCommand(use, short string, do func(context.Context, string, client.K8sChange) error) *cobra.Command {
	var kubeconfig, template string
	var in client.K8sChange
	cmd := a.outputs(&cobra.Command{
		Use: use, Short: short, Args: exactly("ORG/CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.k8sChange(cmd, &in, kubeconfig, template); err != nil {
				return err
			}
			return do(cmd.Context(), args[0], in)
		},
	})
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "file that leads the server to the cluster; - for stdin. Without certificates or tokens in other files: kubectl config view --flatten --minify --raw")
	f.StringVar(&in.Context, "context", "", "context of the kubeconfig (default: its current one)")
	f.Bool("in-cluster", false, "the cluster that the server runs in, as the server's own ServiceAccount; takes a site admin")
	f.Bool("remote", false, "a cluster that the server does not reach: run gantry-dispatcher near it, with a token of the config")
	f.String("namespace", "", "where Pods run")
	f.StringSlice("allow-namespace", nil, "other namespaces that execution documents may name, separated by commas")
	f.StringSlice("allow-service-account", nil, "ServiceAccounts that execution documents may name, separated by commas")
	f.StringVar(&template, "pod-template", "", "file with the pod_template, in JSON, that execution documents are laid over; - for stdin")
	f.String("runner-image", "", "image of Gantry, from which Pods get the runner's program (default: that of the server)")
	f.Int("max-pods", 0, "Pods in flight at the same time (default: 50)")
	f.String("name", "", "another name")
	if strings.HasPrefix(use, "new") {
		_ = f.MarkHidden("name")
	}
	cmd.MarkFlagsMutuallyExclusive("kubeconfig", "in-cluster", "remote")
	return cmd
}

// k8sChange reads the flags that were given, and the files they name.
func (a *app) k8sChange(cmd *cobra.Command, in *client.K8sChange, kubeconfig, template string) error {
	f := cmd.Flags()
	for flag, to := range map[string]**string{"namespace": &in.Namespace, "runner-image": &in.RunnerImage, "name": &in.Name} {
		if f.Changed(flag) {
			*to = new(f.Lookup(flag).Value.String())
		}
	}
	for flag, to := range map[string]**[]string{"allow-namespace": &in.Namespaces, "allow-service-account": &in.ServiceAccounts} {
		if list, err := f.GetStringSlice(flag); err == nil && f.Changed(flag) {
			*to = &list
		}
	}
	if n, err := f.GetInt("max-pods"); err == nil && f.Changed("max-pods") {
		in.MaxPods = &n
	}
	for flag, kind := range map[string]client.ClusterKind{"in-cluster": client.ClusterIn, "remote": client.ClusterRemote} {
		if on, err := f.GetBool(flag); err == nil && on {
			in.Cluster = &kind
		}
	}
	if kubeconfig != "" {
		text, err := a.readFile(kubeconfig)
		if err != nil {
			return fmt.Errorf("--kubeconfig: %w", err)
		}
		in.Kubeconfig = new(string(text))
	}
	if template != "" {
		text, err := a.readFile(template)
		if err != nil {
			return fmt.Errorf("--pod-template: %w", err)
		}
		if _, err := messages.ParsePodTemplate(text); err != nil {
			return fmt.Errorf("--pod-template %s: %w", template, err)
		}
		in.PodTemplate = json.RawMessage(text)
	}
	return nil
}

func (a *app) readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.env.Stdin)
	}
	return os.ReadFile(path)
}

// withK8s looks the config up, by name, number or id, and does something with it.
func (a *app) withK8s(ctx context.Context, text string, do func(*client.Client, client.K8sConfig) error) error {
	organization, name, err := parseK8s(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.K8sConfigs(ctx, organization)
	if client.NotFound(err) {
		return findOrganization(ctx, c, organization)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(k client.K8sConfig) bool {
		return strings.EqualFold(k.Name, name) || k.ID == name || strconv.FormatInt(k.Number, 10) == name
	})
	if i < 0 {
		return fmt.Errorf("k8s config %s does not exist. See gantry k8s list %s, or create it with gantry k8s new %s", text, organization, text)
	}
	return do(c, all[i])
}

func parseK8s(text string) (organization, name string, err error) {
	organization, name, ok := strings.Cut(text, "/")
	if !ok || organization == "" || name == "" {
		return "", "", fmt.Errorf("%q is not a k8s config: write ORGANIZATION/CONFIG, for example default/production", text)
	}
	if err := validName("organization", organization); err != nil {
		return "", "", err
	}
	return organization, name, validName("k8s config", name)
}

func (a *app) newK8s(ctx context.Context, text string, in client.K8sChange) error {
	organization, name, err := parseK8s(text)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	in.Name = &name
	k, err := c.CreateK8sConfig(ctx, organization, in)
	if client.NotFound(err) {
		return findOrganization(ctx, c, organization)
	}
	if err != nil {
		return err
	}
	return a.show(k, func(t *table) {
		t.line("Created k8s config %s/%s, number %d.", organization, k.Name, k.Number)
		if k.Cluster == client.ClusterRemote {
			t.line("Its dispatcher needs a token: gantry k8s tokens new %s/%s", organization, k.Name)
		} else {
			t.line("See whether its cluster is ready: gantry k8s check %s/%s", organization, k.Name)
		}
	})
}

func (a *app) editK8s(ctx context.Context, text string, in client.K8sChange) error {
	return a.withK8s(ctx, text, func(c *client.Client, k client.K8sConfig) error {
		k, err := c.UpdateK8sConfig(ctx, k.ID, in)
		if err != nil {
			return err
		}
		return a.show(k, func(t *table) { t.line("Changed k8s config %s/%s.", k.Organization, k.Name) })
	})
}

func (a *app) listK8s(ctx context.Context, organization string) error {
	return a.withOrganization(ctx, organization, func(c *client.Client, o client.Organization) error {
		all, err := c.K8sConfigs(ctx, o.Name)
		if err != nil {
			return err
		}
		return a.show(all, func(t *table) {
			t.head("NAME", "NUMBER", "ID", "CLUSTER", "NAMESPACE", "PODS", "CREATED")
			for _, k := range all {
				t.row(k.Name, k.Number, k.ID, clusterText(k), k.Namespace, k.MaxPods, k.CreatedAt)
			}
		})
	})
}

func clusterText(k client.K8sConfig) string {
	if k.Server != "" {
		return k.Server
	}
	return strings.ReplaceAll(string(k.Cluster), "_", " ")
}

func (a *app) showK8s(ctx context.Context, text string) error {
	return a.withK8s(ctx, text, func(_ *client.Client, k client.K8sConfig) error {
		return a.show(k, func(t *table) {
			t.row("K8s config:", text)
			t.row("ID:", k.ID)
			t.row("Number:", k.Number)
			t.row("Cluster:", clusterText(k))
			t.row("Namespace:", k.Namespace)
			t.row("Other namespaces:", strings.Join(k.Namespaces, ", "))
			t.row("ServiceAccounts:", strings.Join(k.ServiceAccounts, ", "))
			t.row("Pods in flight, at most:", k.MaxPods)
			t.row("Runner image:", k.RunnerImage)
			if b, err := json.Marshal(k.PodTemplate); err == nil && k.PodTemplate != nil {
				t.row("Pod template:", string(b))
			}
			t.row("Created:", k.CreatedAt)
		})
	})
}

func (a *app) checkK8s(ctx context.Context, text string) error {
	return a.withK8s(ctx, text, func(c *client.Client, k client.K8sConfig) error {
		found, err := c.CheckK8sConfig(ctx, k.ID)
		if err != nil {
			return err
		}
		if err := a.show(found, func(t *table) {
			for _, f := range found.Findings {
				word := "ok"
				if !f.OK {
					word = "MISSING"
				}
				t.line("%-8s %s%s", word, f.What, after(": ", f.Note+f.Problem))
				if f.Fix != "" {
					t.line("         %s", f.Fix)
				}
			}
		}); err != nil {
			return err
		}
		if !found.OK {
			return fmt.Errorf("k8s config %s can't carry out runs yet: see what is MISSING above", text)
		}
		return nil
	})
}

func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + oneLine(text)
}

func (a *app) deleteK8s(ctx context.Context, text string) error {
	return a.withK8s(ctx, text, func(c *client.Client, k client.K8sConfig) error {
		if err := c.DeleteK8sConfig(ctx, k.ID); err != nil {
			return fmt.Errorf("k8s config %s was not deleted: %w", text, err)
		}
		return a.show(k, func(t *table) { t.line("Deleted k8s config %s.", text) })
	})
}
