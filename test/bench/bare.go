package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gantry.example/test/bench/figures"
)

// locate finds the terraform that both sides run: a server takes the one in PATH too.
func locate() (string, error) {
	path, err := exec.LookPath("terraform")
	if err != nil {
		return "", fmt.Errorf("no terraform to compare with (%w): install it into a folder of PATH", err)
	}
	return filepath.Abs(path)
}

// bareEnv is the environment in which Gantry runs terraform, as far as terraform looks at it: nothing of the user's.
func (b *bench) bareEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.home(), "TMPDIR=" + b.tmp(), "TF_CLI_CONFIG_FILE=" + b.cliConfig(),
		"TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1", "LANG=C.UTF-8",
	}
}

// newFolder makes a fresh folder with the configuration.
func (b *bench) newFolder(configuration string) (string, error) {
	dir, err := os.MkdirTemp(b.root, "bare-")
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "main.tf"), []byte(configuration), 0o600)
}

// bare plans and applies what is in the folder, as a script would, and tells how long each command took.
func (b *bench) bare(ctx context.Context, dir string) ([]figures.Step, error) {
	steps := []figures.Step{{From: "init", To: "plan"}, {From: "plan", To: "apply"}, {From: "apply", To: "done"}}
	for i, args := range [][]string{
		{"init", "-input=false", "-no-color"},
		{"plan", "-input=false", "-no-color", "-out=plan.bin"},
		{"apply", "-input=false", "-no-color", "plan.bin"},
	} {
		began := time.Now()
		if err := b.command(ctx, dir, b.bareEnv(), args); err != nil {
			return nil, err
		}
		steps[i].Phase, steps[i].Took = "bare CLI", time.Since(began)
	}
	return steps, nil
}

// command runs terraform with its output going to a file, as Gantry does it.
func (b *bench) command(ctx context.Context, dir string, env, args []string) error {
	path := filepath.Join(dir, "log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, b.terraform, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, log, log
	if err := cmd.Run(); err != nil {
		printed, _ := os.ReadFile(path) // said beside the error, which is what counts
		return fmt.Errorf("terraform %s: %w\n%s", strings.Join(args, " "), err, lastLines(string(printed), 20))
	}
	return nil
}

// bareOnce applies the configuration in a fresh folder and returns how long that took, and each command of it.
func (b *bench) bareOnce(ctx context.Context, configuration string) (time.Duration, []figures.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, onceLimit)
	defer cancel()
	dir, err := b.newFolder(configuration)
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	steps, err := b.bare(ctx, dir)
	if err != nil {
		return 0, nil, err
	}
	took := time.Since(began)
	return took, steps, os.RemoveAll(dir)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
