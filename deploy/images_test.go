package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestEveryImageOfTheChartHasADockerfile: gantry has Dockerfile, gantry-NAME has NAME.Dockerfile.
func TestEveryImageOfTheChartHasADockerfile(t *testing.T) {
	t.Parallel()
	var values struct{ Images map[string]string }
	if err := yaml.Unmarshal([]byte(read(t, "helm/gantry/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	for which, image := range values.Images {
		if which == "nats" {
			continue // not ours
		}
		file := "Dockerfile"
		if name, more := strings.CutPrefix(image, "gantry-"); more {
			file = name + ".Dockerfile"
		}
		if _, err := os.Stat(filepath.Join("docker", file)); err != nil {
			t.Error(err)
		}
	}
}
