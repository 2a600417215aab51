package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// agentSays runs the agent with these variables and no others until it ends or has said something that it waits with.
func agentSays(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(binary(t)), "gantry-agent"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	out, _ := cmd.CombinedOutput() // it fails, see what follows
	return string(out)
}

// noFolder is a data folder that cannot be made: it ends an agent whose settings are good, before it does anything.
const noFolder = "/dev/null/data"

// TestAgentUnit: systemd takes the unit, and the agent takes the variables of the unit and of docs/agents.md.
func TestAgentUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, filepath.Join(root, "deploy", "systemd", "gantry-agent.service"))
	env := []string{"GANTRY_AGENT_ADDRESS=https://gantry.example.com", "GANTRY_AGENT_LABEL=production,aws"}
	if docs := read(t, filepath.Join(root, "docs", "agents.md")); !strings.Contains(docs, strings.Join(env, `\n`)) {
		t.Errorf("docs/agents.md has another environment file than %q", env)
	}
	for line := range strings.Lines(unit) {
		if kv, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment="); ok {
			env = append(env, kv)
		}
	}
	env = append(env, "GANTRY_AGENT_DATA_DIR="+noFolder)
	if got := agentSays(t, env); !strings.Contains(got, "--data-dir") {
		t.Errorf("the agent with the unit's environment: got\n%s\nwant every setting taken", got)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("SKIPPED, THE UNIT OF THE AGENT IS NOT VERIFIED BY SYSTEMD: there is no systemd-analyze here; apt-get install systemd")
	}
	here := strings.Replace(unit, "/usr/local/bin/gantry-agent", filepath.Join(filepath.Dir(binary(t)), "gantry-agent"), 1)
	file := filepath.Join(t.TempDir(), "gantry-agent.service")
	if err := os.WriteFile(file, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), "gantry-agent.service:") {
		t.Errorf("systemd-analyze verify: got %v and\n%s\nwant no complaint", err, out)
	}
}

// TestComposeAgentSettingsAreGantrys: the agent of the compose file takes its variables.
func TestComposeAgentSettingsAreGantrys(t *testing.T) {
	t.Parallel()
	config := initialized(t)
	s := loadCompose(t, "agent").Services["agent"]
	if len(s.Entrypoint) != 1 || s.Entrypoint[0] != "gantry-agent" {
		t.Fatalf("entrypoint: got %q, want the agent", s.Entrypoint)
	}
	env := []string{"GANTRY_AGENT_TOKEN=x"}
	for key, value := range s.Environment {
		if value != nil && key != "GANTRY_AGENT_TOKEN" {
			env = append(env, key+"="+strings.ReplaceAll(*value, "/etc/gantry", config))
		}
	}
	if got := agentSays(t, env, append(append([]string{}, s.Command...), "--data-dir", noFolder)...); !strings.Contains(got, "--data-dir") {
		t.Errorf("got\n%s\nwant every setting taken", got)
	}
}

// TestScaleInHook: what docs/agents.md tells a machine to do that is to go drains first, and completes the hook afterwards.
func TestScaleInHook(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(read(t, filepath.Join(root, "docs", "agents.md")), "```sh\n")
	script, _, found := strings.Cut(rest, "```")
	if !found || !strings.Contains(script, "complete-lifecycle-action") {
		t.Fatalf("docs/agents.md: got the script\n%s\nwant that of the hook", script)
	}
	dir := t.TempDir()
	for _, name := range []string{"systemctl", "aws"} {
		fake := "#!/bin/sh\necho " + name + " \"$@\" >> \"$JOURNAL\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	journal := filepath.Join(dir, "journal")
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "JOURNAL=" + journal, "GROUP=my group", "INSTANCE=i-1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := "systemctl stop gantry-agent\naws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --lifecycle-hook-name drain --auto-scaling-group-name my group --instance-id i-1\n"
	if got := read(t, journal); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
