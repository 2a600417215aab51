package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"gantry.example/test/bench/figures"
)

// facts describes the machine and the programs. What this system does not tell is left out.
func (b *bench) facts(ctx context.Context) ([]figures.Fact, error) {
	gantry, err := exec.CommandContext(ctx, b.bin, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s version: %w", b.bin, err)
	}
	engine, err := b.version(ctx)
	if err != nil {
		return nil, err
	}
	cores := fmt.Sprintf("%d cores", runtime.NumCPU())
	if model := field(contents("/proc/cpuinfo"), "model name"); model != "" {
		cores = model + ", " + cores
	}
	facts := []figures.Fact{
		{Name: "date", Value: time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{Name: "Gantry", Value: strings.TrimPrefix(strings.TrimSpace(string(gantry)), "gantry ")},
		{Name: "Terraform", Value: engine},
		{Name: "Go", Value: strings.TrimPrefix(runtime.Version(), "go")},
		{Name: "processor", Value: cores},
		{Name: "memory", Value: memory(field(contents("/proc/meminfo"), "MemTotal"))},
		{Name: "system", Value: runtime.GOOS + "/" + runtime.GOARCH + " " + strings.TrimSpace(contents("/proc/sys/kernel/osrelease"))},
		{Name: "disk", Value: disk(contents("/proc/mounts"), b.root)},
		{Name: "load before (1, 5, 15 minutes)", Value: load(contents("/proc/loadavg"))},
	}
	var known []figures.Fact
	for _, f := range facts {
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known, nil
}

// version asks terraform.
func (b *bench) version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, b.terraform, "version", "-json")
	cmd.Dir, cmd.Env = b.root, b.bareEnv()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", b.terraform, err)
	}
	var answer struct {
		Version string `json:"terraform_version"`
	}
	err = json.Unmarshal(out, &answer)
	return answer.Version, err
}

// contents is the text of a file of the system, or empty where there is none.
func contents(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// field returns the value of the first line "name : value".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// memory turns "8148256 kB" into GiB.
func memory(total string) string {
	var kib float64
	if _, err := fmt.Sscanf(total, "%f kB", &kib); err != nil {
		return ""
	}
	return fmt.Sprintf("%.1f GiB", kib/(1<<20))
}

// disk finds in the table of mounts what the folder is on: that with the longest path above it.
func disk(mounts, folder string) string {
	found, longest := "", -1
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		device, path, kind := f[0], strings.TrimSuffix(f[1], "/"), f[2]
		if strings.HasPrefix(folder+"/", path+"/") && len(path) >= longest { // the later one covers the earlier
			found, longest = kind+" on "+device, len(path)
		}
	}
	return found
}

// load leaves the averages of /proc/loadavg.
func load(text string) string {
	f := strings.Fields(text)
	return strings.Join(f[:min(3, len(f))], " ")
}
