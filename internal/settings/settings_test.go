package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"gantry.example/internal/settings"
)

func TestPrecedence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	config := filepath.Join(dir, "gantry.yaml")
	write(t, secret, "from-file\n")
	write(t, config, "data-dir: from-config\n")
	for name, tt := range map[string]struct {
		args    []string
		env     map[string]string
		config  string
		want    string
		wantErr string
	}{
		"default":          {want: "default"},
		"config":           {config: config, want: "from-config"},
		"file over config": {env: map[string]string{"GANTRY_DATA_DIR_FILE": secret}, config: config, want: "from-file"},
		"env over config":  {env: map[string]string{"GANTRY_DATA_DIR": "from-env"}, config: config, want: "from-env"},
		"flag over env":    {args: []string{"--data-dir=from-flag"}, env: map[string]string{"GANTRY_DATA_DIR": "from-env"}, want: "from-flag"},
		"both":             {env: map[string]string{"GANTRY_DATA_DIR": "x", "GANTRY_DATA_DIR_FILE": secret}, wantErr: "both set"},
		"missing file":     {env: map[string]string{"GANTRY_DATA_DIR_FILE": secret + "x"}, wantErr: "GANTRY_DATA_DIR_FILE"},
		"bad value":        {env: map[string]string{"GANTRY_WORKERS": "many"}, wantErr: "GANTRY_WORKERS"},
		"unknown key":      {config: secret, wantErr: "configuration file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			got := flags.String("data-dir", "default", "")
			flags.Int("workers", 1, "")
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			err := settings.Load(flags, func(k string) string { return tt.env[k] }, tt.config)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("got error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || *got != tt.want {
				t.Errorf("got %q, %v, want %q", *got, err, tt.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
