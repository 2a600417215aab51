// Command render checks a Helm chart and prints what it makes of values, as `helm lint` and `helm template` do:
//
//	render CHART RELEASE NAMESPACE VALUES.yaml
//
// Together with release, which installs, it is a module of its own, outside go.work: Helm's dependencies are no business of Gantry's.
package main

import (
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// kubernetes is the version that the chart is rendered for.
const kubernetes = "v1.37.2"

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: render CHART RELEASE NAMESPACE VALUES.yaml")
		os.Exit(2)
	}
	if err := render(os.Stdout, os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func render(out io.Writer, folder, release, namespace, file string) error {
	chart, err := loader.Load(folder)
	if err != nil {
		return err
	}
	values, err := chartutil.ReadValuesFile(file)
	if err != nil {
		return err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true, Revision: 1}
	caps := chartutil.DefaultCapabilities.Copy()
	caps.KubeVersion = chartutil.KubeVersion{Version: kubernetes, Major: "1", Minor: "37"}
	top, err := chartutil.ToRenderValues(chart, values, options, caps)
	if err != nil {
		return err
	}
	files, err := engine.Render(chart, top)
	if err != nil {
		return err
	}
	if err := check(folder, namespace, values); err != nil {
		return err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := strings.TrimSpace(files[name])
		switch {
		case text == "" || strings.HasPrefix(path.Base(name), "_"):
		case path.Base(name) == "NOTES.txt":
			fmt.Fprintf(os.Stderr, "%s\n", text)
		default:
			fmt.Fprintf(out, "---\n# Source: %s\n%s\n", name, strings.TrimPrefix(text, "---\n"))
		}
	}
	return nil
}

// check fails for anything but information.
func check(folder, namespace string, values map[string]any) error {
	for _, m := range lint.All(folder, values, namespace, true).Messages {
		if m.Severity >= support.WarningSev {
			return fmt.Errorf("lint: %w", m)
		}
	}
	return nil
}
