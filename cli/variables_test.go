package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunOptions(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	dir := folder(t)
	write(t, filepath.Join(dir, "main.tf"), `
variable "plain" {}
variable "text" { type = string }
variable "number" {
  # type = list(string)
  type = number
}
variable "list" {
  description = "type = string }"
  validation {
    condition = "x" != "}"
  }
  type = list(string)
}
variable "any" { type = any }
`)
	write(t, filepath.Join(dir, "more.tf.json"), `{"variable":{"json":{"type":"string"},"map":{"type":"map(string)"}}}`)
	prod := filepath.Join(t.TempDir(), "prod.tfvars")
	write(t, prod, "file = [1]\nplain = \"from a file\"\n")
	args := []string{"run", dir, "-w", "acme/net", "--auto-approve", "--target", "a.b", "--target", `a.c["x"]`, "--replace", "a.d", "--var-file", prod}
	for _, v := range []string{
		`plain=["a"]`, `text=1.10`, `text={"a":1}`, `number=007`, `list=["a"]`, `any=5`, `json=[1]`, `map={a = 1}`, `unknown=[1]`, "other=a\"b\\\n${c}=d", `empty=`,
	} {
		args = append(args, "--var", v)
	}
	x.check(t, x.run(t, args...), 0, "is applied", "")
	variable := func(key, value string) any { return map[string]any{"key": key, "value": value} }
	want := map[string]any{
		"auto-apply": true, "is-destroy": false, "plan-only": false, "refresh": true, "refresh-only": false,
		"target-addrs": []any{"a.b", `a.c["x"]`}, "replace-addrs": []any{"a.d"},
		"variables": []any{
			variable("file", `[1]`), variable("plain", `"[\"a\"]"`), variable("text", `"{\"a\":1}"`), variable("number", `"007"`), variable("list", `["a"]`), variable("any", `5`),
			variable("json", `"[1]"`), variable("map", `{a = 1}`), variable("unknown", `[1]`), variable("other", `"a\"b\\\n$${c}=d"`), variable("empty", `""`),
		},
	}
	if diff := cmp.Diff(want, f.created); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*gantry*")); err != nil || len(left) != 0 {
		t.Errorf("got %q, %v in the user's folder, want nothing", left, err)
	}
}

func TestRunWithItsOwnExecution(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	x := on(t, f)
	f.enter(f.planned...)
	dir := folder(t)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sub", "main.tf"), "")
	file := filepath.Join(dir, "execution.json")
	write(t, file, `{"workdir":"sub"}`)
	x.check(t, x.run(t, "run", dir, "-w", "acme/net", "--execution", file, "--refresh-only", "--detach", "-o", "json"), 0, `"id": "run-1"`, "")
	want := []string{`POST /api/gantry/v1/runs {"configuration_version_id":"cv-1","execution":{"workdir":"sub"},"message":"",` +
		`"options":{"refresh_only":true},"workspace_id":"ws-1"}`}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestDetailedExitcode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		same bool
		args string
		code int
	}{
		{"plan without changes", true, "--plan-only", 0}, {"plan with changes", false, "--plan-only", 2}, {"applied", false, "--auto-approve", 2},
		{"waits", false, "", 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			if f.same = tt.same; tt.args == "--plan-only" {
				f.planned = []string{"planning", "planned_and_finished"}
			}
			x := on(t, f)
			args := append([]string{"run", folder(t, "main.tf"), "-w", "acme/net", "--detailed-exitcode"}, strings.Fields(tt.args)...)
			x.check(t, x.run(t, args...), tt.code, "", "")
		})
	}
}

func TestApprovedByAnotherTerminal(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.taken = true
	x := on(t, f)
	x.interactive, x.stdin = true, strings.NewReader("yes\n")
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net"), 0, "the apply", "was approved already, by ann. Following it.")
}
