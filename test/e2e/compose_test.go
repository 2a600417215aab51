package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// root is the repository.
const root = "../.."

// load reads docker-compose.yml as docker compose does.
func loadCompose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithWorkingDirectory(root), cli.WithProfiles(profiles))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeHasTwoOfEachRole: every role is there twice, NATS three times.
func TestComposeHasTwoOfEachRole(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for name, s := range loadCompose(t).Services {
		if strings.HasPrefix(name, "nats-") {
			count["nats"]++
		}
		if i := slices.Index(s.Command, "--roles"); i >= 0 {
			for role := range strings.SplitSeq(s.Command[i+1], ",") {
				count[role] += s.GetScale()
			}
		}
	}
	for what, want := range map[string]int{
		"nats": 3, "api": 2, "relay": 2, "logs": 2, "projector": 2, "reconciler": 2, "observer": 2, "intake": 2, "keeper": 2, "worker": 2,
	} {
		if count[what] != want {
			t.Errorf("%s: got %d, want %d", what, count[what], want)
		}
	}
}

// TestComposeSettingsAreGantrys: each process takes its arguments and variables; it is stopped by the first thing that is not here.
func TestComposeSettingsAreGantrys(t *testing.T) {
	t.Parallel()
	config := initialized(t)
	moved := func(value string) string { return strings.ReplaceAll(value, "/etc/gantry", config) }
	for name, s := range loadCompose(t).Services {
		if s.Image != "gantry" || len(s.Command) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{}, s.Command...)
			// A folder that cannot be made ends a server whose settings are good, before it does anything.
			args = append(args, "--data-dir", "/dev/null/data")
			cmd := exec.CommandContext(t.Context(), binary(t), args...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			for key, value := range s.Environment {
				if value != nil {
					cmd.Env = append(cmd.Env, key+"="+moved(*value))
				}
			}
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "data folder: --data-dir") {
				t.Errorf("got %v and\n%s\nwant every setting taken", err, out)
			}
		})
	}
}

// initialized runs the init script of the image, twice, into a folder of the test.
func initialized(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var first string
	for range 2 {
		cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "deploy", "docker", "init"))
		cmd.Env = []string{"PATH=" + filepath.Dir(binary(t)) + ":" + os.Getenv("PATH"), "GANTRY_CONFIG_DIR=" + dir}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("init: %v\n%s", err, out)
		}
		kept := read(t, filepath.Join(dir, "control", "api.json")) + read(t, filepath.Join(dir, "postgres", "password"))
		if first != "" && kept != first {
			t.Error("the second start of init made new secrets")
		}
		first = kept
	}
	return dir
}

// TestComposeWorkersReachNothingElse: who runs what users write has neither the database nor the keys.
func TestComposeWorkersReachNothingElse(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	for name, s := range project.Services {
		if !strings.HasPrefix(name, "worker-") && !strings.HasPrefix(name, "nats-") {
			continue
		}
		if _, both := s.Networks["backend"]; both {
			t.Errorf("%s is in the network of the database", name)
		}
		for _, v := range s.Volumes {
			if v.Source == "control" || v.Source == "authority" || v.Source == "postgres-password" {
				t.Errorf("%s has the volume %s", name, v.Source)
			}
		}
	}
	for name, s := range project.Services {
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: got port %s on %q, want loopback only", name, p.Published, p.HostIP)
			}
		}
	}
}
