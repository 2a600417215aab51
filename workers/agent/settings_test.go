package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"gantry.example/workers/agent"
)

// load reads settings as the program does.
func load(t *testing.T, env map[string]string, args ...string) (agent.Settings, error) {
	t.Helper()
	var s agent.Settings
	f := pflag.NewFlagSet("gantry-agent", pflag.ContinueOnError)
	s.Flags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.Load(f, func(name string) string { return env[name] })
}

func TestWhereSettingsComeFrom(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type want struct {
		Address, Name, TokenFile string
		Labels                   []string
		Once                     bool
	}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want want
	}{
		"flags over variables": {
			args: []string{"--address", "https://a.example/", "--name", "a", "--token-file", file, "--label", "b", "--label", "a,b", "--once"},
			env:  map[string]string{"GANTRY_AGENT_ADDRESS": "https://x.example", "GANTRY_AGENT_TOKEN": "t", "GANTRY_AGENT_TOKEN_FILE": "/nowhere"},
			want: want{"https://a.example", "a", file, []string{"a", "b"}, true},
		},
		"variables over TFE's": {
			env: map[string]string{"GANTRY_AGENT_ADDRESS": "https://a.example", "TFC_ADDRESS": "https://x.example", "GANTRY_AGENT_NAME": "a",
				"TFC_AGENT_NAME": "x", "GANTRY_AGENT_TOKEN_FILE": file, "TFC_AGENT_TOKEN": "x", "GANTRY_AGENT_LABEL": "a", "GANTRY_AGENT_SINGLE": "true"},
			want: want{"https://a.example", "a", file, []string{"a"}, true},
		},
		"TFE's variables": {
			env:  map[string]string{"TFC_ADDRESS": "https://a.example", "TFC_AGENT_TOKEN": "t", "TFC_AGENT_NAME": "a"},
			want: want{"https://a.example", "a", "", nil, false},
		},
	} {
		got, err := load(t, c.env, c.args...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, want{got.Address, got.Name, got.TokenFile, got.Labels, got.Once}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	good := []string{"--address", "https://a.example", "--token-file", "/t"}
	for want, c := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"--address is missing":                    {args: []string{"--token-file", "/t"}},
		"--token-file is missing":                 {args: good[:2]},
		"would show the token":                    {args: []string{"--address", "http://a.example", "--token-file", "/t"}},
		`"https://a.example/x": want https`:       {args: []string{"--address", "https://a.example/x", "--token-file", "/t"}},
		`--run-env "*"`:                           {args: append([]string{"--run-env", "AWS_*,*"}, good...)},
		`--run-env "A*B"`:                         {args: append([]string{"--run-env", "A*B"}, good...)},
		"--run-env GANTRY_AGENT_TOKEN":            {args: append([]string{"--run-env", "GANTRY_AGENT_TOKEN"}, good...)},
		"--run-env TFC_AGENT_*":                   {args: good, env: map[string]string{"GANTRY_AGENT_RUN_ENV": "TFC_AGENT_*"}},
		"--run-env TF_*: of the engine's":         {args: append([]string{"--run-env", "TF_VAR_*,TF_TOKEN_*,TF_*"}, good...)},
		"--run-env TF_CLI_ARGS_*: of the":         {args: append([]string{"--run-env", "TF_CLI_ARGS_*"}, good...)},
		"--run-env TF_DATA_DIR: of the":           {args: good, env: map[string]string{"GANTRY_AGENT_RUN_ENV": "TF_DATA_DIR"}},
		"--concurrency 0":                         {args: append([]string{"--concurrency", "0"}, good...)},
		`--name "a.b"`:                            {args: append([]string{"--name", "a.b"}, good...)},
		"--label":                                 {args: append([]string{"--label", "Not Allowed"}, good...)},
		"--label: 65":                             {args: append([]string{"--label", "a" + strings.Repeat(",a", 64)}, good...)},
		"--nats-url n.example:4222: use tls":      {args: append([]string{"--nats-url", "nats://n.example:4222"}, good...)},
		"GANTRY_AGENT_TOKEN_FILE are both set":    {args: good[:2], env: map[string]string{"GANTRY_AGENT_TOKEN": "t", "GANTRY_AGENT_TOKEN_FILE": "/t"}},
		"--drain-timeout -1s: must not be negati": {args: append([]string{"--drain-timeout", "-1s"}, good...)},
	} {
		if _, err := load(t, c.env, c.args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
