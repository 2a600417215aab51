package variable_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gantry.example/internal/variable"
	"gantry.example/internal/wire"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	terraform := func(key, value string) wire.Variable {
		return wire.Variable{Key: key, Value: value, Category: wire.CategoryTerraform}
	}
	hcl := func(value string) wire.Variable {
		return wire.Variable{Key: "x", Value: value, Category: wire.CategoryTerraform, HCL: true}
	}
	env := func(key, value string) wire.Variable {
		return wire.Variable{Key: key, Value: value, Category: wire.CategoryEnv}
	}
	for _, tt := range []struct {
		name  string
		v     wire.Variable
		field string
		says  string
	}{
		{"text", terraform("región-1", "any ${text}\n"), "", ""},
		{"a digit first, as TFE takes it", terraform("1-x", ""), "", ""},
		{"an empty value", terraform("x", ""), "", ""},
		{"an expression", hcl("[\n  1,\n  2,\n]"), "", ""},
		{"a heredoc", hcl("<<EOT\ntext\nEOT"), "", ""},
		{"an environment variable", env("AWS_REGION", "eu\nx"), "", ""},
		{"a token for a registry", env("TF_TOKEN_example_com", "t"), "", ""},
		{"log level", env("TF_LOG", "debug"), "", ""},
		{"parallelism", env("TFE_PARALLELISM", "4"), "", ""},
		{"category", wire.Variable{Key: "x", Category: "policy-set"}, "category", `"policy-set" is neither`},
		{"no key", terraform("", "v"), "key", "missing"},
		{"key with a blank", terraform("a b", "v"), "key", `"a b" is not the name of a variable`},
		{"long key", terraform(strings.Repeat("k", 129), "v"), "key", "longer than 128"},
		{"long value", terraform("x", strings.Repeat("v", 256<<10+1)), "value", `"x" is longer than`},
		{"NUL", env("X", "a\x00b"), "value", "U+0000"},
		{"no expression", hcl("[geheim"), "value", "line 1, column"},
		{"two lines", hcl("1\ngeheim = 2"), "value", "not an HCL expression"},
		{"a reference, as TFE takes it", hcl("name"), "", ""},
		{"a hyphen in the environment", env("A-B", ""), "key", `"A-B" is not the name of an environment variable`},
		{"CLI configuration", env("TF_CLI_CONFIG_FILE", "/x"), "key", "TF_CLI_CONFIG_FILE cannot be set: every run has"},
		{"arguments", env("TF_CLI_ARGS_plan", "-out=x"), "key", "use TFE_PARALLELISM"},
		{"state", env("TF_HTTP_ADDRESS", "http://x"), "key", "Gantry takes care of the state"},
		{"preload", env("LD_PRELOAD", "x.so"), "key", "load code"},
		{"ours", env("GANTRY_EXEC_SPEC", "x"), "key", "Gantry's own"},
		{"parallelism is a number", env("TFE_PARALLELISM", "geheim"), "value", "from 1 to 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := variable.Check(tt.v)
			if tt.field == "" {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			var problem *variable.Error
			if !errors.As(err, &problem) || problem.Field != tt.field || !strings.Contains(problem.Problem, tt.says) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got %v, want field %s, %q, and no value", err, tt.field, tt.says)
			}
		})
	}
}

func TestCheckExpression(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`{ a = [1, "x"] }`: "", "geheim": "Variables not allowed", "upper(\"geheim\")": "Function calls not allowed", "[geheim": "line 1, column",
	} {
		err := variable.CheckExpression("x", text)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim")) {
			t.Errorf("%s: got %v, want %q and no value", text, err, says)
		}
	}
}

func TestParseFile(t *testing.T) {
	t.Parallel()
	got, err := variable.ParseFile("x.tfvars", []byte("b = \"two ${1+1} $${x}\"\n# comment\na = {\n  k = [1, true, null]\n}\nh = <<EOT\nline\nEOT\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.RunVariable{
		{Key: "b", Value: `"two 2 $${x}"`}, {Key: "a", Value: "{\n  k = [1, true, null]\n}"}, {Key: "h", Value: `"line\n"`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	fromJSON, err := variable.ParseFile("x.tfvars.json", []byte(`{"later":"two ${x}","n":1e3}`))
	if diff := cmp.Diff([]wire.RunVariable{{Key: "later", Value: `"two $${x}"`}, {Key: "n", Value: "1000"}}, fromJSON); diff != "" || err != nil {
		t.Errorf("JSON: %v (-want +got):\n%s", err, diff)
	}
	for text, says := range map[string]string{
		"a = \"geheim":      "x.tfvars: ",
		"a = geheim":        `x.tfvars: variable "a": Variables not allowed (line 1`,
		"a {\n geheim=1\n}": "x.tfvars: ",
	} {
		if _, err := variable.ParseFile("x.tfvars", []byte(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: got %v, want %q without what is in the file", text, err, says)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		v    wire.Variable
		want []string
	}{
		{"text", wire.Variable{Value: "geheim", Category: wire.CategoryTerraform}, []string{"geheim"}},
		{"short", wire.Variable{Value: "abc"}, nil},
		{"a word", wire.Variable{Value: "false"}, nil},
		{"lines", wire.Variable{Value: "-----BEGIN-----\n  MIIE\n}\n-----END-----\n", Category: wire.CategoryEnv}, []string{"-----BEGIN-----", "-----END-----", "MIIE"}},
		{"quoted", wire.Variable{Value: `a"b\c`, Category: wire.CategoryEnv}, []string{`a\"b\\c`, `a"b\c`}},
		{"template", wire.Variable{Value: "a${b}", Category: wire.CategoryEnv}, []string{"a$${b}", "a${b}"}},
		{"HCL", wire.Variable{Value: `{ user = "ann", list = ["geheim", true, 12345] }`, HCL: true, Category: wire.CategoryTerraform},
			[]string{`{ user = \"ann\", list = [\"geheim\", true, 12345] }`, `{ user = "ann", list = ["geheim", true, 12345] }`, "geheim", "12345"}},
		{"JSON for terraform", wire.Variable{Value: `{"a":["geheim"]}`, Category: wire.CategoryTerraform}, []string{`{\"a\":[\"geheim\"]}`, `{"a":["geheim"]}`, "geheim"}},
		{"JSON for a provider", wire.Variable{Value: `{"id":"project","key":"BEGIN\nKEYS\n"}`, Category: wire.CategoryEnv},
			[]string{`{\"id\":\"project\",\"key\":\"BEGIN\\nKEYS\\n\"}`, `{"id":"project","key":"BEGIN\nKEYS\n"}`, "BEGIN", "KEYS"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := variable.Secrets([]wire.Variable{tt.v}); got != nil {
				t.Errorf("not sensitive: got %q, want none", got)
			}
			tt.v.Sensitive = true
			if diff := cmp.Diff(tt.want, variable.Secrets([]wire.Variable{tt.v})); diff != "" {
				t.Errorf("secrets (-want +got):\n%s", diff)
			}
		})
	}
}
