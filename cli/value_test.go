package cli_test

import (
	"strings"
	"testing"
)

// TestOutputsAreWrittenAsTerraformDoes: after a plan without changes, in whose log they are not.
func TestOutputsAreWrittenAsTerraformDoes(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.same = true
	f.outputs = `{"zones":["a","b"],"none":[],"tags":{"team":"net","n":1.50},"text":"a \"b\" ${c} <d>","big":12345678901234567890,"on":true}`
	x := on(t, f)
	x.check(t, x.run(t, "run", folder(t, "main.tf"), "-w", "acme/net", "--auto-approve"), 0, "all = {", "")
	want := `all = {
  "big" = 12345678901234567890
  "none" = []
  "on" = true
  "tags" = {
    "n" = 1.50
    "team" = "net"
  }
  "text" = "a \"b\" $${c} <d>"
  "zones" = [
    "a",
    "b",
  ]
}
`
	if got := x.out.String(); !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}
