// Command release does to a cluster what `helm install`, `helm upgrade` and `helm uninstall` do, and waits for no Pod:
//
//	release install|upgrade KUBECONFIG RELEASE NAMESPACE CHART VALUES.yaml
//	release uninstall KUBECONFIG RELEASE NAMESPACE
package main

import (
	"errors"
	"fmt"
	"os"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
)

func main() {
	if err := do(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func do(args []string) error {
	if len(args) < 4 || (args[0] != "uninstall" && len(args) != 6) {
		return errors.New("usage: release install|upgrade KUBECONFIG RELEASE NAMESPACE CHART VALUES.yaml, release uninstall KUBECONFIG RELEASE NAMESPACE")
	}
	name, namespace := args[2], args[3]
	settings, cfg := cli.New(), new(action.Configuration)
	settings.KubeConfig = args[1]
	settings.SetNamespace(namespace)
	if err := cfg.Init(settings.RESTClientGetter(), namespace, "", func(string, ...any) {}); err != nil {
		return err
	}
	if args[0] == "uninstall" {
		_, err := action.NewUninstall(cfg).Run(name)
		return err
	}
	c, values, err := load(args[4], args[5])
	if err != nil {
		return err
	}
	switch args[0] {
	case "install":
		install := action.NewInstall(cfg)
		install.ReleaseName, install.Namespace = name, namespace
		_, err = install.Run(c, values)
	case "upgrade":
		upgrade := action.NewUpgrade(cfg)
		upgrade.Namespace = namespace
		_, err = upgrade.Run(name, c, values)
	default:
		err = fmt.Errorf("%s is none of install, upgrade, uninstall", args[0])
	}
	return err
}

func load(folder, file string) (*chart.Chart, map[string]any, error) {
	c, err := loader.Load(folder)
	if err != nil {
		return nil, nil, err
	}
	values, err := chartutil.ReadValuesFile(file)
	return c, values, err
}
