package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// instruction is one of a Dockerfile, with its continuation lines.
type instruction struct {
	name string
	args []string
	text string
}

// instructions reads a Dockerfile.
func instructions(t *testing.T, path string) []instruction {
	t.Helper()
	var out []instruction
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(read(t, path), "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		out = append(out, instruction{words[0], words[1:], strings.TrimSpace(strings.TrimPrefix(line, words[0]))})
	}
	return out
}

// known are the instructions that our Dockerfiles use.
func known() []string {
	return []string{"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "ENTRYPOINT", "CMD"}
}

// TestDockerfiles: each builds what is there, copies what it built, and runs its own program as somebody with a number who is not root,
// which is what a Pod with runAsNonRoot asks of an image.
func TestDockerfiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("docker/*Dockerfile")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want Dockerfiles", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			stages, built, copied := map[string]bool{}, map[string]bool{}, map[string]bool{}
			last := map[string]instruction{}
			for _, in := range instructions(t, file) {
				if !slices.Contains(known(), in.name) {
					t.Errorf("%s %s: no such instruction", in.name, in.text)
				}
				last[in.name] = in
				switch in.name {
				case "FROM":
					if len(in.args) == 3 && in.args[1] == "AS" {
						stages[in.args[2]] = true
					}
				case "RUN":
					for _, m := range regexp.MustCompile(`\./cmd/([a-z-]+)`).FindAllStringSubmatch(in.text, -1) {
						built[m[1]] = true
						if _, err := os.Stat(filepath.Join("..", "cmd", m[1])); err != nil {
							t.Error(err)
						}
					}
				case "COPY":
					checkCopy(t, in, stages, copied)
				}
			}
			if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(last["USER"].text) {
				t.Errorf("got USER %q, want a number that is not root's", last["USER"].text)
			}
			var entry []string
			if err := json.Unmarshal([]byte(last["ENTRYPOINT"].text), &entry); err != nil || len(entry) == 0 || !copied[entry[0]] {
				t.Errorf("got ENTRYPOINT %s, want one that was copied, of %v", last["ENTRYPOINT"].text, copied)
			}
			for name := range built {
				if !copied[name] {
					t.Errorf("%s is built and not copied", name)
				}
			}
		})
	}
}

// checkCopy notes the programs that are copied out of a stage, and looks for what is copied out of the repository.
func checkCopy(t *testing.T, in instruction, stages, copied map[string]bool) {
	t.Helper()
	from := ""
	var paths []string
	for _, arg := range in.args {
		if stage, ok := strings.CutPrefix(arg, "--from="); ok {
			from = stage
		} else if !strings.HasPrefix(arg, "--") {
			paths = append(paths, arg)
		}
	}
	if from != "" && !stages[from] {
		t.Errorf("COPY %s: there is no stage %s", in.text, from)
	}
	for _, path := range paths[:len(paths)-1] {
		if from != "" {
			copied[filepath.Base(path)] = true
		} else if _, err := os.Stat(filepath.Join("..", path)); err != nil {
			t.Errorf("COPY %s: %v", in.text, err)
		}
	}
}

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
