package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kind is what a process is to us.
type kind string

// The kinds of processes.
const (
	kindTerraform kind = "terraform"
	kindRunner    kind = "runner"
	kindPostgres  kind = "postgres"
)

// victim is a process of this installation.
type victim struct {
	kind kind
	pid  int
}

// victims finds the processes that we did not start ourselves. They have our root in their environment or arguments, as
// nobody else's have.
func (in *installation) victims() []victim {
	entries, _ := os.ReadDir("/proc") // none: no victims
	var out []victim
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if k := in.kindOf(filepath.Join("/proc", e.Name())); k != "" {
			out = append(out, victim{k, pid})
		}
	}
	return out
}

func (in *installation) kindOf(proc string) kind {
	text, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	args := strings.Split(string(bytes.TrimRight(text, "\x00")), "\x00")
	if err != nil || len(args) < 2 {
		return ""
	}
	exe, _ := os.Readlink(filepath.Join(proc, "exe")) // empty for one that just ended
	env, _ := os.ReadFile(filepath.Join(proc, "environ"))
	ours := bytes.Contains(env, []byte(in.root))
	switch {
	case exe == in.terraform && ours && bytes.Contains(env, []byte("TFC_RUN_ID=")):
		return kindTerraform
	case ours && (args[1] == "runner" || filepath.Base(args[0]) == "gantry-runner"):
		return kindRunner
	case filepath.Base(args[0]) == "postgres" && strings.Contains(strings.Join(args, " "), in.root):
		return kindPostgres
	}
	return ""
}

// some are the processes of one kind.
func (in *installation) some(k kind) []int {
	var out []int
	for _, v := range in.victims() {
		if v.kind == k {
			out = append(out, v.pid)
		}
	}
	return out
}
